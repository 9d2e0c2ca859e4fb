"""Make the tables of policies, whose words the database itself refuses to change.

Judgements name the policy that they were made under, and a stage may need several approvers. On
SQLite a later migration that rebuilds the table of policies drops the trigger; it has to run `fix`
again.
"""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_TABLE = "compliance_policyversion"
_FIXED = (
    "organisation_id",
    "created_at",
    "number",
    "name",
    "document",
    "digest",
    "rules_digest",
    "reason",
    "author_id",
    "author_name",
)
_SAYS = "the words of a policy are never changed; write the next version"
_POSTGRES = (
    f"""CREATE OR REPLACE FUNCTION {_TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{_SAYS}' USING ERRCODE = 'restrict_violation'; END $$""",
    f"""CREATE TRIGGER {_TABLE}_fixed BEFORE UPDATE ON {_TABLE} FOR EACH ROW
    WHEN (({", ".join(f"OLD.{name}" for name in _FIXED)}) IS DISTINCT FROM
          ({", ".join(f"NEW.{name}" for name in _FIXED)}))
    EXECUTE FUNCTION {_TABLE}_refuse()""",
)
_SQLITE = (
    f"""CREATE TRIGGER {_TABLE}_fixed BEFORE UPDATE OF {", ".join(_FIXED)} ON {_TABLE}
    BEGIN SELECT RAISE(ABORT, '{_SAYS}'); END""",
)


def fix(apps, schema_editor):
    is_postgres = schema_editor.connection.vendor == "postgresql"
    with schema_editor.connection.cursor() as cursor:
        for statement in _POSTGRES if is_postgres else _SQLITE:
            cursor.execute(statement)


def loosen(apps, schema_editor):
    is_postgres = schema_editor.connection.vendor == "postgresql"
    with schema_editor.connection.cursor() as cursor:
        if is_postgres:
            cursor.execute(f"DROP TRIGGER IF EXISTS {_TABLE}_fixed ON {_TABLE}")
            cursor.execute(f"DROP FUNCTION IF EXISTS {_TABLE}_refuse()")
        else:
            cursor.execute(f"DROP TRIGGER IF EXISTS {_TABLE}_fixed")


class Migration(migrations.Migration):
    dependencies = [
        ("compliance", "0004_licence_records"),
        ("registry", "0002_ledger_is_insert_only"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PolicyDryRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("done", models.IntegerField(default=0)),
                ("total", models.IntegerField(default=0)),
                ("message", models.TextField(blank=True)),
                ("result", models.JSONField(blank=True, null=True)),
                ("attempts", models.IntegerField(default=0)),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("requested_by_name", models.CharField(max_length=200)),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("number", models.IntegerField()),
                ("name", models.CharField(max_length=100)),
                ("document", models.TextField()),
                ("digest", models.CharField(max_length=71)),
                ("rules_digest", models.CharField(max_length=71)),
                ("reason", models.TextField()),
                ("author_name", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("active", "Active"), ("retired", "Retired")],
                        default="draft",
                        max_length=10,
                    ),
                ),
                ("version", models.IntegerField(default=1)),
                ("activated_at", models.DateTimeField(blank=True, null=True)),
                ("activated_by_name", models.CharField(blank=True, max_length=200)),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
                ("retired_by_name", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["-number"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="decision",
            name="one_verdict_a_stage",
        ),
        migrations.AddField(
            model_name="assessment",
            name="policy_digest",
            field=models.CharField(blank=True, default="", max_length=71),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.UniqueConstraint(
                condition=models.Q(("verdict__in", ["approve", "refuse"])),
                fields=("review", "stage", "decided_by", "seen_digest"),
                name="one_verdict_a_person_and_stage",
            ),
        ),
        migrations.AddField(
            model_name="policydryrun",
            name="organisation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, to="registry.organisation"
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="activated_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="author",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="organisation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, to="registry.organisation"
            ),
        ),
        migrations.AddField(
            model_name="policydryrun",
            name="against",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="compliance.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="policydryrun",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="dry_runs",
                to="compliance.policyversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(
                fields=("organisation", "number"), name="one_policy_a_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "active")),
                fields=("organisation",),
                name="one_active_policy",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("activated_by", models.F("author")), _negated=True),
                name="no_author_activates_their_policy",
            ),
        ),
        migrations.RunPython(fix, loosen),
    ]

"""Make the table of licence records, whose words the database itself refuses to change.

On SQLite a later migration that rebuilds this table drops the trigger; it has to run `fix` again.
"""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_TABLE = "compliance_licencerecord"
_FIXED = (
    "organisation_id",
    "created_at",
    "key",
    "number",
    "change",
    "document",
    "digest",
    "base_digest",
    "reason",
    "author_id",
    "author_name",
)
_SAYS = "the words of a licence record are never changed; write the next version"
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
        ("compliance", "0003_judge_by_outcome_and_complete_matters"),
        ("registry", "0002_ledger_is_insert_only"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LicenceRecord",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("key", models.CharField(max_length=100)),
                ("number", models.IntegerField()),
                (
                    "change",
                    models.CharField(
                        choices=[("add", "Add"), ("override", "Override"), ("retire", "Retire")],
                        max_length=10,
                    ),
                ),
                ("document", models.TextField(blank=True)),
                ("digest", models.CharField(blank=True, max_length=71)),
                ("base_digest", models.CharField(blank=True, max_length=71)),
                ("reason", models.TextField()),
                ("author_name", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("proposed", "Proposed"),
                            ("active", "Active"),
                            ("refused", "Refused"),
                            ("superseded", "Superseded"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="draft",
                        max_length=12,
                    ),
                ),
                ("version", models.IntegerField(default=1)),
                ("proposed_at", models.DateTimeField(blank=True, null=True)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decided_by_name", models.CharField(blank=True, max_length=200)),
                ("decision_reason", models.TextField(blank=True)),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="registry.organisation"
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organisation", "key", "number"), name="one_record_a_number"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "active")),
                        fields=("organisation", "key"),
                        name="one_active_record_a_key",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("decided_by", models.F("author")), _negated=True),
                        name="no_author_decides_on_their_record",
                    ),
                ],
            },
        ),
        migrations.RunPython(fix, loosen),
    ]

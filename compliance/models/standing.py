"""Hold matters (litigation by the organisation) and the standing of what is approved."""

from django.db import models

from registry.models import Checkpoint, OrgScoped, User


class Matter(OrgScoped):
    """Record litigation that this organisation started, as the licences' clauses ask about it."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        FILED = "filed"
        WITHDRAWN = "withdrawn"

    reference = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    filed_on = models.DateField(null=True, blank=True)
    withdrawn_on = models.DateField(null=True, blank=True)
    alleges_model_infringes = models.JSONField(default=list)
    alleges_output_infringes = models.JSONField(default=list)
    # Empty while nobody has said; unknown is not "no".
    in_response = models.BooleanField(null=True, blank=True)
    version = models.IntegerField(default=1)
    declared_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    declared_by_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "reference"], name="one_matter_a_reference"
            )
        ]

    def __str__(self) -> str:
        return self.reference


class Standing(OrgScoped):
    """Record that the right to use a checkpoint ended, with the clause; never deleted.

    `cause` is the body of the 451 problem (licence, section, quote, matter, effective, model).
    """

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="standings")
    matter = models.ForeignKey(Matter, on_delete=models.PROTECT, null=True, blank=True)
    cause = models.JSONField()
    cause_digest = models.CharField(max_length=71)
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["checkpoint", "cause_digest"], name="one_end_of_standing_each"
            )
        ]

    def __str__(self) -> str:
        return f"{self.checkpoint}: ended"

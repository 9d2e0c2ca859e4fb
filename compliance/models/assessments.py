"""Hold judgements and what people laid down about licences."""

from django.db import models
from django.db.models import Q

from registry.models import Checkpoint, OrgScoped, User


class Assessment(OrgScoped):
    """Hold the judgement of one checkpoint for one intended use on one set of inputs.

    `input_digest` is over facts and catalogue without the date, `report_digest` over the outcome
    without the date: a day that passes and changes nothing makes no new row. `seen_digest` is what
    a review of this judgement binds to; `policy_digest` names the rules of the organisation's
    policy, empty for none; `as_of` is the last day on which it was confirmed.
    """

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="assessments")
    use = models.JSONField()
    use_digest = models.CharField(max_length=71)
    input_digest = models.CharField(max_length=71)
    catalogue_digest = models.CharField(max_length=71)
    policy_digest = models.CharField(max_length=71, blank=True, default="")
    decision = models.CharField(max_length=30)
    report = models.JSONField()
    report_digest = models.CharField(max_length=71)
    seen_digest = models.CharField(max_length=71)
    as_of = models.DateField()
    is_current = models.BooleanField(default=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["checkpoint", "use_digest", "input_digest", "report_digest"],
                name="one_judgement_an_input_and_outcome",
            ),
            models.UniqueConstraint(
                fields=["checkpoint", "use_digest"],
                condition=Q(is_current=True),
                name="one_current_judgement",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.checkpoint}: {self.decision}"


class LicencePin(OrgScoped):
    """Record that a legal reviewer laid down which licence text governs a checkpoint."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="pins")
    licence_key = models.CharField(max_length=100)
    reason = models.TextField()
    pinned_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    pinned_by_name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["checkpoint"], condition=Q(is_active=True), name="one_active_pin"
            )
        ]

    def __str__(self) -> str:
        return f"{self.checkpoint} under {self.licence_key}"


class Waiver(OrgScoped):
    """Record that a finding is accepted for a time, by whom and why."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="waivers")
    rule = models.CharField(max_length=60)
    licence_key = models.CharField(max_length=100)
    reason = models.TextField()
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    owner_name = models.CharField(max_length=200)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.rule} waived for {self.checkpoint}"

"""Hold reviews and the decisions of people in them."""

from django.db import models

from compliance.models.assessments import Assessment
from registry.models import Checkpoint, OrgScoped, User


class Review(OrgScoped):
    """Ask people whether one checkpoint may be used in one way.

    `seen_digest` names everything that an approval binds to: the manifest, the use, the facts and
    the outcome of the assessment (with every clause that speaks in it), all without the date.
    """

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        REFUSED = "refused"
        STALE = "stale"
        WITHDRAWN = "withdrawn"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="reviews")
    use = models.JSONField()
    use_digest = models.CharField(max_length=71)
    assessment = models.ForeignKey(Assessment, on_delete=models.PROTECT, related_name="+")
    seen_digest = models.CharField(max_length=71)
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    version = models.IntegerField(default=1)
    opened_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    opened_by_name = models.CharField(max_length=200)
    closed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["checkpoint", "use_digest"],
                condition=models.Q(state__in=["open", "approved"]),
                name="one_live_review_a_use",
            )
        ]

    def __str__(self) -> str:
        return f"review of {self.checkpoint}: {self.state}"


class Decision(OrgScoped):
    """Record what one person decided in one stage, bound to what they saw."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REFUSE = "refuse"
        ASK = "ask"

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="decisions")
    stage = models.CharField(max_length=20)
    verdict = models.CharField(max_length=10, choices=Verdict)
    comment = models.TextField(blank=True)
    conditions = models.JSONField(default=list)
    seen_digest = models.CharField(max_length=71)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    decided_by_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["review", "stage", "decided_by", "seen_digest"],
                condition=models.Q(verdict__in=["approve", "refuse"]),
                name="one_verdict_a_person_and_stage",
            ),
            models.UniqueConstraint(
                fields=["review", "decided_by", "seen_digest"],
                condition=models.Q(verdict="approve"),
                name="one_person_one_stage",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stage}: {self.verdict}"

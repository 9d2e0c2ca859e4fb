"""Hold duties: what somebody has to do because of a clause, by when, and what was seen of it."""

from django.db import models
from django.db.models import Q

from compliance.models.assessments import Assessment
from compliance.models.evidence import Evidence
from compliance.models.reviews import Review
from registry.models import Checkpoint, OrgScoped, User


class Duty(OrgScoped):
    """Hold one duty of one approved use; `key` finds it again when the use is judged again.

    What the clause asks (rule to `words`) is rewritten from each judgement; who does it, until
    when and where is people's.
    """

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        # The judgement no longer asks for it, or the approval ended.
        LAPSED = "lapsed"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="duties")
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="duties")
    key = models.CharField(max_length=32)
    rule = models.CharField(max_length=60)
    licence_key = models.CharField(max_length=200)
    section = models.CharField(max_length=60, blank=True)
    quote = models.TextField(blank=True)
    model_name = models.CharField(max_length=300)
    what = models.CharField(max_length=200)
    because = models.TextField(blank=True)
    remedy = models.TextField(blank=True)
    check_by = models.CharField(max_length=10)
    proof_kind = models.CharField(max_length=40, blank=True)
    words = models.JSONField(default=list)
    recurs_days = models.IntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    version = models.IntegerField(default=1)
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    owner_name = models.CharField(max_length=200, blank=True)
    due_on = models.DateField()
    page_url = models.URLField(max_length=500, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by_name = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)
    proof = models.ForeignKey(
        Evidence, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    seen_kept = models.BooleanField(null=True, blank=True)
    seen_because = models.TextField(blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["due_on", "licence_key", "rule", "pk"]
        constraints = [models.UniqueConstraint(fields=["review", "key"], name="one_duty_a_clause")]
        indexes = [
            models.Index(
                fields=["organisation", "due_on"], condition=Q(state="open"), name="open_duties"
            )
        ]

    def __str__(self) -> str:
        return f"{self.what} ({self.licence_key} {self.section}): {self.state}"


class DutyRound(OrgScoped):
    """Say which judgement an approved use's duties were last brought in step with."""

    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="duty_round")
    assessment = models.ForeignKey(Assessment, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return f"duties of {self.review}"

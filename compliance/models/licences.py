"""Hold the licences that an organisation's own counsel wrote or corrected."""

from django.db import models
from django.db.models import F, Q

from registry.models import OrgScoped, User


class LicenceRecord(OrgScoped):
    """Hold one version of one licence record: the catalogue's YAML, who wrote it, who approved.

    The words never change (the database refuses it); only the state and the decision are written
    later. `digest` is over what the document says; `base_digest` over what counted for this key
    when it was written, empty when nothing did. A version that retires a record has no document.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        PROPOSED = "proposed"
        ACTIVE = "active"
        REFUSED = "refused"
        SUPERSEDED = "superseded"
        WITHDRAWN = "withdrawn"

    class Change(models.TextChoices):
        ADD = "add"
        OVERRIDE = "override"
        RETIRE = "retire"

    key = models.CharField(max_length=100)
    number = models.IntegerField()
    change = models.CharField(max_length=10, choices=Change)
    document = models.TextField(blank=True)
    digest = models.CharField(max_length=71, blank=True)
    base_digest = models.CharField(max_length=71, blank=True)
    reason = models.TextField()
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    author_name = models.CharField(max_length=200)
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    version = models.IntegerField(default=1)
    proposed_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    decided_by_name = models.CharField(max_length=200, blank=True)
    decision_reason = models.TextField(blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "key", "number"], name="one_record_a_number"
            ),
            models.UniqueConstraint(
                fields=["organisation", "key"],
                condition=Q(state="active"),
                name="one_active_record_a_key",
            ),
            models.CheckConstraint(
                condition=~Q(decided_by=F("author")), name="no_author_decides_on_their_record"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} version {self.number}: {self.state}"

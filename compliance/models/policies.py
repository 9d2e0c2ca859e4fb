"""Hold an organisation's policies, version by version, and the trials of what they would change."""

from django.db import models
from django.db.models import F, Q

from registry.models import OrgScoped, User


class PolicyVersion(OrgScoped):
    """Hold one version of an organisation's policy: its words, who wrote it, who put it in force.

    The words never change (the database refuses it); only the state and who moved it are written
    later. `digest` is over the whole document, `rules_digest` over what judges.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        ACTIVE = "active"
        RETIRED = "retired"

    number = models.IntegerField()
    name = models.CharField(max_length=100)
    document = models.TextField()
    digest = models.CharField(max_length=71)
    rules_digest = models.CharField(max_length=71)
    reason = models.TextField()
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    author_name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    version = models.IntegerField(default=1)
    activated_at = models.DateTimeField(null=True, blank=True)
    activated_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    activated_by_name = models.CharField(max_length=200, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_by_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "number"], name="one_policy_a_number"),
            models.UniqueConstraint(
                fields=["organisation"], condition=Q(state="active"), name="one_active_policy"
            ),
            models.CheckConstraint(
                condition=~Q(activated_by=F("author")), name="no_author_activates_their_policy"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} version {self.number}: {self.state}"


class PolicyDryRun(OrgScoped):
    """Promise to say what a version would change; the row is the queue.

    `against` is the version in force when it was asked, empty for none. `attempts` fences: a
    worker that lost its lease finds another number and can write nothing.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    policy = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="dry_runs")
    against = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    done = models.IntegerField(default=0)
    total = models.IntegerField(default=0)
    message = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    attempts = models.IntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    requested_by_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"dry run of {self.policy}: {self.state}"

"""Hold evidence, which is never overwritten, and the jobs that measure it."""

from django.db import models
from django.db.models import Q

from compliance.models.guards import Guard
from registry.models import Checkpoint, OrgScoped, User


class Evidence(OrgScoped):
    """Hold one signed record of what was measured or attested; identity is `record_digest`."""

    class Result(models.TextChoices):
        RETAINED = "retained"
        REDUCED = "reduced"
        REMOVED = "removed"
        REPLACED = "replaced"
        INCONCLUSIVE = "inconclusive"

    class Method(models.TextChoices):
        MEASURED = "measured"
        ATTESTED = "attested"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="evidence")
    base = models.ForeignKey(
        Checkpoint, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    # What stood in front of the derived model when it was measured: the result holds with it alone.
    guard = models.ForeignKey(
        Guard, on_delete=models.PROTECT, related_name="evidence", null=True, blank=True
    )
    kind = models.CharField(max_length=40)
    result = models.CharField(max_length=20, choices=Result)
    method = models.CharField(max_length=20, choices=Method)
    summary = models.CharField(max_length=500)
    record = models.JSONField()
    record_digest = models.CharField(max_length=71)
    kid = models.CharField(max_length=64)
    signature = models.CharField(max_length=200)
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    created_by_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "record_digest"], name="one_record_each"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.result} ({self.method})"


class EvidenceJob(OrgScoped):
    """Promise to measure one checkpoint against its base; the row is the queue.

    `attempts` fences: a worker that lost its lease finds another number and can write nothing.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="jobs")
    base = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="+")
    guard = models.ForeignKey(
        Guard, on_delete=models.PROTECT, related_name="jobs", null=True, blank=True
    )
    suite = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    done = models.IntegerField(default=0)
    total = models.IntegerField(default=0)
    message = models.TextField(blank=True)
    attempts = models.IntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    requested_by_name = models.CharField(max_length=200)
    evidence = models.ForeignKey(
        Evidence, on_delete=models.PROTECT, related_name="jobs", null=True, blank=True
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["checkpoint", "base", "suite"],
                condition=Q(state__in=["queued", "running"], guard=None),
                name="one_open_job_each",
            ),
            models.UniqueConstraint(
                fields=["checkpoint", "base", "suite", "guard"],
                condition=Q(state__in=["queued", "running"]),
                name="one_open_job_a_guard",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.suite} on {self.checkpoint}: {self.state}"

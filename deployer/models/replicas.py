"""Hold what was observed to run."""

from django.db import models

from deployer.models.endpoints import Endpoint
from registry.models import Checkpoint, OrgScoped


class Replica(OrgScoped):
    """Hold one runtime process: where it is, what it said it loaded, which permit it was given."""

    class State(models.TextChoices):
        PENDING = "pending"
        STARTING = "starting"
        READY = "ready"
        STOPPING = "stopping"
        STOPPED = "stopped"
        FAILED = "failed"

    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="replicas")
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="+")
    generation = models.IntegerField()
    index = models.IntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    url = models.CharField(max_length=200, blank=True)
    handle = models.JSONField(default=dict)
    serial = models.BigIntegerField(default=0)
    permit = models.TextField(blank=True)
    permit_issued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ["endpoint", "-generation", "index"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "generation", "index"],
                condition=models.Q(state__in=["pending", "starting", "ready", "stopping"]),
                name="one_live_replica_a_place",
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} replica {self.index}: {self.state}"

"""Hold what should run: targets, endpoints with their desired state, and the history of it."""

from django.db import models

from compliance.models import Guard, Review
from registry.models import Checkpoint, OrgScoped, User


class Target(OrgScoped):
    """Name a place where replicas run, and the GPU that they get there."""

    class Kind(models.TextChoices):
        LOCAL = "local"

    name = models.SlugField()
    kind = models.CharField(max_length=20, choices=Kind)
    gpu = models.CharField(max_length=20, blank=True)
    config = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="one_target_of_a_name")
        ]

    def __str__(self) -> str:
        return self.name


class Endpoint(OrgScoped):
    """Hold the desired state of one served model; `name` is the `model` that clients ask for."""

    class Desired(models.TextChoices):
        RUNNING = "running"
        STOPPED = "stopped"

    class Phase(models.TextChoices):
        PENDING = "pending"
        PROGRESSING = "progressing"
        READY = "ready"
        DEGRADED = "degraded"
        STOPPED = "stopped"
        ENDED = "ended"
        FAILED = "failed"

    name = models.SlugField(max_length=80)
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="endpoints")
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="endpoints")
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="endpoints")
    guard = models.ForeignKey(
        Guard, on_delete=models.PROTECT, related_name="endpoints", null=True, blank=True
    )
    desired = models.CharField(max_length=10, choices=Desired, default=Desired.RUNNING)
    desired_replicas = models.IntegerField(default=1)
    generation = models.IntegerField(default=1)
    reasoning_policy = models.JSONField(default=dict)
    phase = models.CharField(max_length=12, choices=Phase, default=Phase.PENDING)
    observed_generation = models.IntegerField(default=0)
    message = models.TextField(blank=True)
    ended = models.JSONField(null=True, blank=True)
    version = models.IntegerField(default=1)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="one_endpoint_of_a_name")
        ]

    def __str__(self) -> str:
        return self.name


class Deployment(OrgScoped):
    """Record one change of an endpoint's desired state: which checkpoint, by whose approval."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="deployments")
    generation = models.IntegerField()
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="+")
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="+")
    guard = models.ForeignKey(
        Guard, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_by_name = models.CharField(max_length=200)
    memory_plan = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "generation"], name="one_deployment_a_generation"
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} #{self.generation}"


class EndpointKey(OrgScoped):
    """Hold the SHA-256 of a data-path key; no endpoint means every endpoint of the organisation."""

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="keys", null=True, blank=True
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    sha256 = models.CharField(max_length=64)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

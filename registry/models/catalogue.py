"""Hold models, their checkpoints, the lineage between them, and the stored files."""

from django.db import models
from django.db.models import F, Q

from registry.models.accounts import User
from registry.models.scoped import OrgScoped


class Model(OrgScoped):
    """Name a line of checkpoints, as `org/name` on the Hub."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="one_model_of_a_name")
        ]

    def __str__(self) -> str:
        return self.name


class Checkpoint(OrgScoped):
    """Hold one immutable set of files; `digest` is its manifest's digest and its identity."""

    class Kind(models.TextChoices):
        WEIGHTS = "weights", "Weights"
        METADATA = "metadata", "Metadata only"

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="checkpoints")
    digest = models.CharField(max_length=71)
    kind = models.CharField(max_length=10, choices=Kind)
    manifest = models.JSONField()
    declared = models.JSONField(default=dict)
    config = models.JSONField(default=dict)
    parameters = models.BigIntegerField(null=True, blank=True)
    weights_bytes = models.BigIntegerField(default=0)
    submitted_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    submitted_by_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "digest"], name="one_checkpoint_each")
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.digest[7:19]}"


class LineageEdge(OrgScoped):
    """Say that `child` was made from a parent; `parent` is empty while it is not registered."""

    child = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="parent_edges")
    parent = models.ForeignKey(
        Checkpoint, on_delete=models.PROTECT, related_name="child_edges", null=True, blank=True
    )
    parent_name = models.CharField(max_length=200)
    relation = models.CharField(max_length=20)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["child", "parent_name", "relation"], name="one_edge_each"
            ),
            models.CheckConstraint(
                condition=~Q(child=F("parent")), name="no_checkpoint_is_its_own_parent"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.child} {self.relation} of {self.parent_name}"


class DatasetUse(OrgScoped):
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=200)
    license = models.CharField(max_length=100, blank=True)
    use = models.CharField(max_length=30, default="training")

    def __str__(self) -> str:
        return self.name


class Blob(OrgScoped):
    """Say that this organisation holds the bytes with this SHA-256 in the content store."""

    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "sha256"], name="one_blob_each")
        ]

    def __str__(self) -> str:
        return self.sha256[:12]

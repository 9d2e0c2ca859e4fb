"""Hold what a Hub said of imported checkpoints, and which repositories are watched."""

from django.db import models

from registry.models.accounts import User
from registry.models.catalogue import Checkpoint
from registry.models.scoped import OrgScoped


class HubImport(OrgScoped):
    """Say where a checkpoint came from: one commit, and what the Hub said beside it.

    `record` is fixed with the commit; `seen` is the newest reading. `is_verified` is true only
    where this server compared every file of the checkpoint with the Hub's hashes.
    """

    checkpoint = models.OneToOneField(Checkpoint, on_delete=models.CASCADE, related_name="hub")
    repo = models.CharField(max_length=200)
    commit = models.CharField(max_length=40)
    record = models.JSONField()
    seen = models.JSONField()
    altered = models.JSONField(default=list)
    is_verified = models.BooleanField(default=False)
    previous = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changes = models.JSONField(default=list)
    licence_changed = models.BooleanField(default=False)
    imported_by_name = models.CharField(max_length=200)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["organisation", "repo"], name="imports_of_a_repo")]

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:12]}"


class HubWatch(OrgScoped):
    """Ask that a repository be read again; `not_before` is when it may be asked next."""

    repo = models.CharField(max_length=200)
    revision = models.CharField(max_length=200, blank=True)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    not_before = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)
    commit = models.CharField(max_length=40, blank=True)
    failures = models.IntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["repo", "revision"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "repo", "revision"],
                condition=models.Q(removed_at=None),
                name="one_watch_of_a_repo",
            )
        ]

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision or 'main'}"

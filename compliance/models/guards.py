"""Hold the guards that an organisation may put in front of its endpoints."""

from django.db import models

from registry.models import OrgScoped, User


class Guard(OrgScoped):
    """Hold one guard configuration; it never changes, and `digest` is its identity.

    A changed configuration is another row. Retired, it is offered no more, and an endpoint that
    names it serves nothing.
    """

    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=71)
    document = models.JSONField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_by_name = models.CharField(max_length=200)
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_by_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["name", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "digest"], name="one_guard_a_digest")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[7:19]})"

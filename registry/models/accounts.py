"""Hold organisations, people, their roles and their API tokens."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models

from registry.models.scoped import OrgScoped


class Organisation(models.Model):
    """Name the tenant; as licensee it stands for the whole corporate group."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """Name a person; what they may do follows from their memberships."""

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Membership(OrgScoped):
    """Give a person roles (see `registry.roles`) in one organisation."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    roles = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "user"], name="one_membership_each")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organisation}"


class ApiToken(OrgScoped):
    """Hold a bearer token's SHA-256; the token acts as its owner, in this organisation only."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    sha256 = models.CharField(max_length=64)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

"""Show the registry's tables to operators of the installation; all but people are read-only here.

Whatever changes the others goes through a service, which writes the ledger too.
"""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from registry.models import (
    ApiToken,
    Blob,
    Checkpoint,
    DatasetUse,
    LedgerEntry,
    LedgerHead,
    LineageEdge,
    Membership,
    Model,
    Organisation,
    OutboxEvent,
    SignedRoot,
    User,
)


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # generic at type-checking time only
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TokenAdmin(ReadOnly):
    exclude = ("sha256",)


class People(UserAdmin):  # type: ignore[type-arg]  # generic at type-checking time only
    """Change names and passwords; deleting a person would take their memberships along."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


for model in (
    Blob,
    Checkpoint,
    DatasetUse,
    LedgerEntry,
    LedgerHead,
    LineageEdge,
    Membership,
    Model,
    Organisation,
    OutboxEvent,
    SignedRoot,
):
    admin.site.register(model, ReadOnly)
admin.site.register(ApiToken, TokenAdmin)
admin.site.register(User, People)

"""Show compliance's tables to operators of the installation; all of them are read-only here.

Whatever changes them goes through a service, which writes the ledger too.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from compliance.models import (
    Assessment,
    Decision,
    Evidence,
    EvidenceJob,
    LicencePin,
    LicenceRecord,
    Matter,
    PolicyDryRun,
    PolicyVersion,
    Review,
    Standing,
    Waiver,
)


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # generic at type-checking time only
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


for model in (
    Assessment,
    Decision,
    Evidence,
    EvidenceJob,
    LicencePin,
    LicenceRecord,
    Matter,
    PolicyDryRun,
    PolicyVersion,
    Review,
    Standing,
    Waiver,
):
    admin.site.register(model, ReadOnly)

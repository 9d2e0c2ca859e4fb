"""Give every page the organisation, the person's roles and the open work."""

from typing import Any

from django.http import HttpRequest

from compliance.models import Review
from registry.auth import memberships
from registry.models import User


def navigation(request: HttpRequest) -> dict[str, Any]:
    organisation = getattr(request, "organisation", None)
    if organisation is None or not isinstance(request.user, User):
        return {}
    return {
        "organisation": organisation,
        "roles": getattr(request, "roles", ()),
        "other_memberships": [
            row for row in memberships(request.user) if row.organisation != organisation
        ],
        "open_reviews": Review.objects.filter(
            organisation=organisation, state=Review.State.OPEN
        ).count(),
    }

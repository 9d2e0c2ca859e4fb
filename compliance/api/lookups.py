"""Find a caller's own checkpoint; another organisation's does not exist."""

from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request

from registry.api.views import own
from registry.errors import BadInput
from registry.models import Checkpoint, User


def checkpoint_of(request: Request, pk: UUID) -> Checkpoint:
    """Raises: Http404 for another organisation's."""
    row: Checkpoint = own(request, Checkpoint.objects.select_related("model", "organisation"), pk)
    return row


def person(request: Request) -> User:
    """Name who calls; behind `IsOrganisationMember` it is always a person."""
    return cast(User, request.user)


def only_of_checkpoint(request: Request, rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """Narrow a list by `?checkpoint=`. Raises: BadInput for what is no id."""
    wanted = request.query_params.get("checkpoint")
    if not wanted:
        return rows
    try:
        return rows.filter(checkpoint=UUID(wanted))
    except ValueError:
        raise BadInput(f"{wanted!r} is no checkpoint id.", place="checkpoint") from None

"""Share what every room's views do: scope to the organisation, ask for a role, page a list."""

from typing import Any, ClassVar, TypeVar

from django.db.models import Model as DjangoModel
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.auth import organisation_of, roles_of
from registry.errors import BadInput, RoleMissing
from registry.http import CursorPages
from registry.idempotency import Idempotent
from registry.roles import can


def require(request: Request, action: str) -> None:
    """Raise RoleMissing unless one of the caller's roles allows the action."""
    if not can(roles_of(request), action):
        held = ", ".join(roles_of(request)) or "none"
        raise RoleMissing(f"{action} needs a role that you do not have here (yours: {held}).")


class RoomView(Idempotent):
    """Be the base of every view: one place for body checks, lists and lookups."""

    ordering: ClassVar[str] = "-created_at"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        for name, value in request.query_params.items():
            if "\x00" in value:
                raise BadInput(f"{name} holds a NUL character.", place=name)

    def body(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Check the request's body and return its fields; unknown fields are refused."""
        check = serializer(data=self.request.data)
        check.is_valid(raise_exception=True)
        if unknown := sorted(set(self.request.data) - set(check.fields)):
            raise serializers.ValidationError({name: ["Unknown field."] for name in unknown})
        fields: dict[str, Any] = check.validated_data
        return fields

    def page(
        self, rows: "QuerySet[Any]", serializer: type[serializers.BaseSerializer[Any]]
    ) -> Response:
        """Answer one cursor page of rows."""
        pages = CursorPages()
        pages.ordering = self.ordering
        found = pages.paginate_queryset(rows, self.request, view=self)
        return pages.get_paginated_response(serializer(found, many=True).data)


_Row = TypeVar("_Row", bound=DjangoModel)


def own(request: Request, rows: "QuerySet[_Row]", pk: Any) -> _Row:
    """Return one row of the caller's organisation; another's does not exist (404)."""
    return get_object_or_404(rows, organisation=organisation_of(request), pk=pk)

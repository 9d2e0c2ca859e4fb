"""Serve matters: what filing would end, declare, file, withdraw."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors
from compliance.api import serializers as wire
from compliance.api.lookups import person
from compliance.models import Matter
from compliance.services import matters
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of
from registry.etag import expected_version, with_etag


def _answer(row: Matter, status: int = 200) -> Response:
    return with_etag(Response(wire.MatterOut(row).data, status=status), row.version)


class WhatIf(RoomView):
    @extend_schema(request=wire.MatterIn, responses=wire.BlastRadiusOut)
    def post(self, request: Request) -> Response:
        """Say what filing this matter would end, with the clauses; writes nothing."""
        require(request, "matter.what_if")
        found = matters.what_if(organisation_of(request), self.body(wire.MatterIn))
        return Response(found.to_dict())


class Matters(RoomView):
    @extend_schema(operation_id="matters_list", responses=wire.MatterOut(many=True))
    def get(self, request: Request) -> Response:
        """List matters, newest first."""
        require(request, "matter.read")
        return self.page(selectors.matters(organisation_of(request)), wire.MatterOut)

    @extend_schema(request=wire.MatterIn, responses={201: wire.MatterOut})
    def post(self, request: Request) -> Response:
        """Declare a matter; with status "filed" everything that it ends, ends now."""
        require(request, "matter.declare")
        fields = self.body(wire.MatterIn)
        row = matters.declare(organisation_of(request), fields, actor=person(request))
        return _answer(row, 201)


class OneMatter(RoomView):
    @extend_schema(operation_id="matters_read", responses=wire.MatterOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one matter."""
        require(request, "matter.read")
        return _answer(own(request, selectors.matters(organisation_of(request)), pk))


def _version(request: Request, row: Matter) -> int | None:
    """Hold the caller to If-Match where it is sent; the state itself guards the rest."""
    return expected_version(request, row.version) if "If-Match" in request.headers else None


class FileMatter(RoomView):
    @extend_schema(request=wire.FileIn, responses=wire.MatterOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """File a draft; everything that it ends, ends now, and nothing gives it back."""
        row = own(request, Matter.objects.select_related("organisation"), pk)
        require(request, "matter.declare")
        filed_on = self.body(wire.FileIn)["filed_on"]
        version = _version(request, row)
        return _answer(matters.file(row, actor=person(request), filed_on=filed_on, version=version))


class WithdrawMatter(RoomView):
    @extend_schema(request=None, responses=wire.MatterOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Record that a matter was withdrawn; what its filing ended stays ended."""
        row = own(request, Matter.objects.select_related("organisation"), pk)
        require(request, "matter.withdraw")
        version = _version(request, row)
        return _answer(matters.withdraw(row, actor=person(request), version=version))

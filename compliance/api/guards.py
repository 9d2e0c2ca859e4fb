"""Serve guards: what stands in front of an endpoint's model."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors_guards as selectors
from compliance.api import serializers as wire
from compliance.api.lookups import person
from compliance.services import guards
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of


class Guards(RoomView):
    @extend_schema(operation_id="guards_list", responses=wire.GuardOut(many=True))
    def get(self, request: Request) -> Response:
        """List guards, those that were retired too."""
        return self.page(selectors.guards(organisation_of(request)), wire.GuardOut)

    @extend_schema(request=wire.GuardIn, responses={201: wire.GuardOut})
    def post(self, request: Request) -> Response:
        """Register a guard (`lictor.guard/1`); its digest is its identity and never changes."""
        require(request, guards.MANAGE)
        document = self.body(wire.GuardIn)["document"]
        row = guards.register(organisation_of(request), document=document, actor=person(request))
        return Response(wire.GuardOut(row).data, status=201)


class OneGuard(RoomView):
    @extend_schema(operation_id="guards_read", responses=wire.GuardOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one guard with its whole configuration."""
        return Response(
            wire.GuardOut(own(request, selectors.guards(organisation_of(request)), pk)).data
        )


class RetireGuard(RoomView):
    @extend_schema(request=wire.RetireGuardIn, responses=wire.GuardOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Retire a guard; every endpoint behind it stops serving at once."""
        require(request, guards.MANAGE)
        row = own(request, selectors.guards(organisation_of(request)), pk)
        reason = self.body(wire.RetireGuardIn)["reason"]
        return Response(
            wire.GuardOut(guards.retire(row, reason=reason, actor=person(request))).data
        )

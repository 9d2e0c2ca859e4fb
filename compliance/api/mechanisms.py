"""Serve the safety mechanisms of a checkpoint."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.api import serializers as wire
from compliance.api.lookups import checkpoint_of
from compliance.selectors_mechanisms import mechanisms_of, stated_of
from registry.api.views import RoomView


class Mechanisms(RoomView):
    @extend_schema(operation_id="mechanisms_read", responses=wire.MechanismsOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """List the safety mechanisms that a checkpoint's files show, and what people stated.

        What no file shows and nobody stated is unknown, and not absent.
        """
        checkpoint = checkpoint_of(request, pk)
        found = {**mechanisms_of(checkpoint), "stated": stated_of(checkpoint)}
        return Response(wire.MechanismsOut(found).data)

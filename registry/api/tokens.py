"""Make, list and revoke API tokens."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services
from registry.api import serializers as wire
from registry.api.views import RoomView, own, require
from registry.auth import caller, organisation_of, roles_of
from registry.models import ApiToken
from registry.roles import can


class Tokens(RoomView):
    @extend_schema(operation_id="tokens_list", responses=wire.TokenOut(many=True))
    def get(self, request: Request) -> Response:
        """List one's own tokens; an administrator sees everybody's."""
        rows = ApiToken.objects.for_org(organisation_of(request)).select_related("owner")
        if not can(roles_of(request), "token.manage"):
            rows = rows.filter(owner=request.user)
        return self.page(rows, wire.TokenOut)

    @extend_schema(request=wire.TokenIn, responses={201: wire.TokenMadeOut})
    def post(self, request: Request) -> Response:
        """Make a token for oneself; its secret is in this answer and nowhere else."""
        require(request, "token.manage_own")
        fields = self.body(wire.TokenIn)
        token, secret = services.create_token(
            organisation=organisation_of(request), owner=caller(request), **fields
        )
        self._key = None  # a stored answer would keep the secret
        return Response({**wire.TokenOut(token).data, "token": secret}, status=201)


class OneToken(RoomView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Revoke a token."""
        rows = ApiToken.objects.all()
        if not can(roles_of(request), "token.manage"):
            rows = rows.filter(owner=request.user)
        services.revoke_token(own(request, rows, pk), actor=caller(request))
        return Response(status=204)

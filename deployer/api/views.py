"""Serve targets, endpoints, deployments and permits."""

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.models import Guard, Review
from compliance.selectors_guards import guards
from compliance.services.uses import read_use
from deployer import selectors, services
from deployer.api import serializers as wire
from registry.api.views import RoomView, own, require
from registry.auth import caller, organisation_of
from registry.errors import Unprocessable
from registry.etag import expected_version, with_etag
from registry.models import Checkpoint

_IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, required=True)


def _checkpoint(request: Request, pk: UUID) -> Checkpoint:
    found: Checkpoint = own(request, Checkpoint.objects.select_related("model"), pk)
    return found


def _review(request: Request, fields: dict[str, Any], checkpoint: Checkpoint) -> Review | None:
    """Find the approval that the caller means: by id, by use, or the newest in force."""
    if review := fields.get("review"):
        found: Review = own(request, Review.objects.all(), review)
        return found
    digest = read_use(fields["use"]).digest if "use" in fields else None
    return services.approval_for(checkpoint, digest)


def _guard(request: Request, pk: UUID | None) -> Guard | None:
    if pk is None:
        return None
    found: Guard = own(request, guards(organisation_of(request)), pk)
    return found


class Targets(RoomView):
    @extend_schema(operation_id="targets_list", responses=wire.TargetOut(many=True))
    def get(self, request: Request) -> Response:
        """List the places to deploy to."""
        return self.page(selectors.targets(organisation_of(request)), wire.TargetOut)

    @extend_schema(request=wire.TargetIn, responses={201: wire.TargetOut})
    def post(self, request: Request) -> Response:
        """Name a place to deploy to."""
        require(request, "target.manage")
        fields = self.body(wire.TargetIn)
        target = services.create_target(organisation_of(request), actor=caller(request), **fields)
        return Response(wire.TargetOut(target).data, status=201)


class Endpoints(RoomView):
    @extend_schema(operation_id="endpoints_list", responses=wire.EndpointOut(many=True))
    def get(self, request: Request) -> Response:
        """List endpoints with their replicas."""
        return self.page(selectors.endpoints(organisation_of(request)), wire.EndpointOut)

    @extend_schema(request=wire.EndpointIn, responses={201: wire.EndpointOut})
    def post(self, request: Request) -> Response:
        """Deploy an approved checkpoint; without an approval in force this answers 409."""
        require(request, "endpoint.deploy")
        fields = self.body(wire.EndpointIn)
        organisation = organisation_of(request)
        checkpoint = _checkpoint(request, fields["checkpoint"])
        target = selectors.targets(organisation).filter(name=fields["target"]).first()
        if target is None:
            raise Unprocessable(
                f"There is no target {fields['target']!r}; GET /api/v1/targets/ lists them.",
                code="unknown_target",
            )
        endpoint = services.deploy(
            organisation,
            name=fields["name"],
            checkpoint=checkpoint,
            target=target,
            review=_review(request, fields, checkpoint),
            reasoning_policy=fields["reasoning_policy"],
            replicas=fields["replicas"],
            guard=_guard(request, fields.get("guard")),
            actor=caller(request),
        )
        return with_etag(Response(wire.EndpointOut(endpoint).data, status=201), endpoint.version)


class OneEndpoint(RoomView):
    @extend_schema(operation_id="endpoints_read", responses=wire.EndpointOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one endpoint: desired state, observed state, replicas."""
        endpoint = own(request, selectors.endpoints(organisation_of(request)), pk)
        return with_etag(Response(wire.EndpointOut(endpoint).data), endpoint.version)

    @extend_schema(request=wire.EndpointPatch, parameters=[_IF_MATCH], responses=wire.EndpointOut)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change what an endpoint serves; new replicas start before old ones stop."""
        require(request, "endpoint.deploy")
        endpoint = own(request, selectors.endpoints(organisation_of(request)), pk)
        version = expected_version(request, endpoint.version)
        fields = self.body(wire.EndpointPatch)
        checkpoint, review = None, None
        if {"checkpoint", "review", "use"} & set(fields):
            # Naming an approval means that one: where it is not in force, nothing is changed.
            checkpoint = endpoint.checkpoint
            if "checkpoint" in fields:
                checkpoint = _checkpoint(request, fields["checkpoint"])
            review = _review(request, fields, checkpoint)
        changed = services.change(
            endpoint,
            version=version,
            actor=caller(request),
            checkpoint=checkpoint,
            review=review,
            reasoning_policy=fields.get("reasoning_policy"),
            replicas=fields.get("replicas"),
            guard=_guard(request, fields["guard"]) if "guard" in fields else services.KEEP,
        )
        return with_etag(Response(wire.EndpointOut(changed).data), changed.version)


class StopEndpoint(RoomView):
    @extend_schema(request=None, responses=wire.EndpointOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Stop serving."""
        require(request, "endpoint.stop")
        endpoint = own(request, selectors.endpoints(organisation_of(request)), pk)
        services.stop(endpoint, actor=caller(request))
        return Response(wire.EndpointOut(endpoint).data)


class EndpointKeys(RoomView):
    @extend_schema(request=wire.KeyIn, responses={201: wire.KeyMadeOut})
    def post(self, request: Request, pk: UUID) -> Response:
        """Make a key for the gateway; its secret is in this answer and nowhere else."""
        require(request, "endpoint_key.manage")
        endpoint = own(request, selectors.endpoints(organisation_of(request)), pk)
        name = self.body(wire.KeyIn)["name"]
        key, secret = services.issue_key(endpoint, name=name, actor=caller(request))
        self._key = None  # a stored answer would keep the secret
        return Response({**wire.KeyOut(key).data, "key": secret}, status=201)

    @extend_schema(operation_id="endpoint_keys_list", responses=wire.KeyOut(many=True))
    def get(self, request: Request, pk: UUID) -> Response:
        """List an endpoint's keys by their prefixes."""
        endpoint = own(request, selectors.endpoints(organisation_of(request)), pk)
        return self.page(endpoint.keys.all(), wire.KeyOut)


class OneEndpointKey(RoomView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, key: UUID) -> Response:
        """Revoke a key."""
        require(request, "endpoint_key.manage")
        endpoint = own(request, selectors.endpoints(organisation_of(request)), pk)
        services.revoke_key(get_object_or_404(endpoint.keys.all(), pk=key), actor=caller(request))
        return Response(status=204)


class Deployments(RoomView):
    @extend_schema(operation_id="deployments_list", responses=wire.DeploymentOut(many=True))
    def get(self, request: Request) -> Response:
        """List every change of what endpoints should serve."""
        return self.page(selectors.deployments(organisation_of(request)), wire.DeploymentOut)


class Permits(RoomView):
    @extend_schema(operation_id="permits_list", responses=wire.PermitOut(many=True))
    def get(self, request: Request) -> Response:
        """List the newest permit of each replica; the permits themselves are not shown."""
        return self.page(selectors.permits(organisation_of(request)), wire.PermitOut)

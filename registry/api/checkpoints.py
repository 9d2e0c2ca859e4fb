"""Serve models, checkpoints, their lineage and their memory plan."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import selectors, services
from registry.api import serializers as wire
from registry.api.views import RoomView, own, require
from registry.artifact.gpus import gpu_named
from registry.artifact.manifest import Manifest
from registry.artifact.memory_plan import plan
from registry.auth import caller, organisation_of
from registry.errors import BadInput
from registry.models import Checkpoint


class Models(RoomView):
    @extend_schema(operation_id="models_list", responses=wire.ModelOut(many=True))
    def get(self, request: Request) -> Response:
        """List the organisation's models."""
        require(request, "model.read")
        return self.page(selectors.models(organisation_of(request)), wire.ModelOut)


class Checkpoints(RoomView):
    @extend_schema(
        operation_id="checkpoints_list",
        parameters=[OpenApiParameter("name", str, description="only this model's")],
        responses=wire.CheckpointOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List checkpoints, newest first."""
        require(request, "checkpoint.read")
        rows = selectors.checkpoints(organisation_of(request))
        if name := request.query_params.get("name"):
            rows = rows.filter(model__name=name)
        return self.page(rows, wire.CheckpointOut)

    @extend_schema(request=wire.CheckpointIn, responses={201: wire.CheckpointDetailOut})
    def post(self, request: Request) -> Response:
        """Register a checkpoint; the same manifest again answers 200 with the same checkpoint."""
        require(request, "checkpoint.register")
        fields = self.body(wire.CheckpointIn)
        checkpoint, is_new = services.register_checkpoint(
            organisation=organisation_of(request),
            actor=caller(request),
            name=fields["name"],
            kind=fields["kind"],
            manifest=Manifest.from_json(fields["manifest"]),
            parents=[services.ParentInput(**parent) for parent in fields["parents"]],
            datasets=[services.DatasetInput(**dataset) for dataset in fields["datasets"]],
        )
        body = wire.CheckpointDetailOut(checkpoint).data
        return Response(body, status=201 if is_new else 200)


class OneCheckpoint(RoomView):
    @extend_schema(operation_id="checkpoints_read", responses=wire.CheckpointDetailOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one checkpoint with its manifest and config."""
        require(request, "checkpoint.read")
        row = own(request, selectors.checkpoints(organisation_of(request)), pk)
        return Response(wire.CheckpointDetailOut(row).data)


class MemoryPlan(RoomView):
    @extend_schema(
        parameters=[
            OpenApiParameter("gpu", str, description="a10g by default"),
            OpenApiParameter("context", int, description="tokens a sequence"),
            OpenApiParameter("batch", int, description="sequences at once"),
            OpenApiParameter("dtype", str, description="bf16, fp32 or int8"),
        ],
        responses={200: {"type": "object"}},
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """Plan the memory that this checkpoint needs on one GPU."""
        require(request, "checkpoint.read")
        row = own(request, Checkpoint.objects.all(), pk)
        query = request.query_params
        context = query.get("context")
        planned = plan(
            row.config,
            gpu_named(query.get("gpu", "a10g")),
            context=_number("context", context) if context else None,
            batch=_number("batch", query.get("batch", "1")),
            dtype=query.get("dtype", "bf16"),
        )
        return Response(planned.to_json())


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"{name}={text!r} is not a whole number.", place=name) from None


class Lineage(RoomView):
    @extend_schema(responses=wire.LineageOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read everything that a checkpoint was made from and everything made from it."""
        require(request, "checkpoint.read")
        row = own(request, selectors.checkpoints(organisation_of(request)), pk)
        up, down = selectors.closure_up(row), selectors.closure_down([row])
        nodes: dict[Any, Checkpoint] = {**up.checkpoints, **down.checkpoints}
        edges = {edge.pk: edge for edge in [*up.edges, *down.edges]}
        body = {"nodes": list(nodes.values()), "edges": list(edges.values())}
        return Response(wire.LineageOut(body).data)

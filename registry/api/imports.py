"""Take in what a client read of a Hub, and list it; keep the watches."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services_imports, services_watches
from registry.api.serializers import CheckpointDetailOut
from registry.api.views import RoomView, own, require
from registry.artifact.manifest import Manifest
from registry.auth import caller, organisation_of
from registry.hub.wire import checked_seen
from registry.models import Checkpoint, HubImport, HubWatch


class ImportIn(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Checkpoint.Kind.choices)
    manifest = serializers.JSONField(help_text="as `lictor manifest DIR --json` prints it")
    record = serializers.CharField(max_length=64, help_text="SHA-256 of the commit's record")
    seen = serializers.JSONField(help_text="what the Hub said beside the commit")
    originals = serializers.DictField(
        child=serializers.CharField(max_length=64),
        default=dict,
        help_text="SHA-256 of configurations before remote code was taken out, by path",
    )


class ImportOut(serializers.ModelSerializer[HubImport]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    digest = serializers.CharField(source="checkpoint.digest")
    kind = serializers.CharField(source="checkpoint.kind")

    class Meta:
        model = HubImport
        fields = [
            "id",
            "repo",
            "commit",
            "checkpoint",
            "digest",
            "kind",
            "is_verified",
            "altered",
            "seen",
            "changes",
            "licence_changed",
            "imported_by_name",
            "seen_at",
            "created_at",
        ]


class ImportedOut(serializers.Serializer[Any]):
    result = serializers.CharField(help_text="new, unchanged or seen_again")
    changes = serializers.ListField(child=serializers.DictField())
    licence_changed = serializers.BooleanField()
    hub = ImportOut()
    checkpoint = CheckpointDetailOut()


class WatchIn(serializers.Serializer[Any]):
    repo = serializers.CharField(max_length=200)
    revision = serializers.CharField(max_length=200, default="", allow_blank=True)


class WatchOut(serializers.ModelSerializer[HubWatch]):
    owner = serializers.CharField(source="owner.username")

    class Meta:
        model = HubWatch
        fields = [
            "id",
            "repo",
            "revision",
            "owner",
            "commit",
            "read_at",
            "not_before",
            "failures",
            "last_error",
            "created_at",
        ]


class Imports(RoomView):
    @extend_schema(
        operation_id="imports_list",
        parameters=[OpenApiParameter("repo", str, description="only this repository's")],
        responses=ImportOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List what was imported from a Hub, newest first."""
        require(request, "checkpoint.read")
        rows = HubImport.objects.for_org(organisation_of(request)).select_related("checkpoint")
        if repo := request.query_params.get("repo"):
            rows = rows.filter(repo=repo)
        return self.page(rows, ImportOut)

    @extend_schema(request=ImportIn, responses={201: ImportedOut, 200: ImportedOut})
    def post(self, request: Request) -> Response:
        """Register one reading of a repository; the same again answers 200 and changes nothing."""
        require(request, "checkpoint.register")
        fields, organisation = self.body(ImportIn), organisation_of(request)
        done = services_imports.register_import(
            organisation=organisation,
            actor=caller(request),
            kind=fields["kind"],
            manifest=Manifest.from_json(fields["manifest"]),
            commit=services_imports.read_record(organisation, fields["record"]),
            seen=checked_seen(fields["seen"]),
            originals=fields["originals"],
        )
        body = {
            "result": done.result,
            "changes": [one.to_json() for one in done.changes],
            "licence_changed": done.licence_changed,
            "hub": done.row,
            "checkpoint": done.row.checkpoint,
        }
        status = 201 if done.result == services_imports.NEW else 200
        return Response(ImportedOut(body).data, status=status)


class Watches(RoomView):
    @extend_schema(operation_id="watches_list", responses=WatchOut(many=True))
    def get(self, request: Request) -> Response:
        """List the repositories that are watched."""
        require(request, "checkpoint.read")
        rows = HubWatch.objects.for_org(organisation_of(request)).filter(removed_at=None)
        return self.page(rows.select_related("owner"), WatchOut)

    @extend_schema(request=WatchIn, responses={201: WatchOut, 200: WatchOut})
    def post(self, request: Request) -> Response:
        """Watch a repository; watching it again changes nothing."""
        require(request, "checkpoint.register")
        fields = self.body(WatchIn)
        row, is_new = services_watches.watch(
            organisation_of(request), actor=caller(request), **fields
        )
        return Response(WatchOut(row).data, status=201 if is_new else 200)


class OneWatch(RoomView):
    @extend_schema(operation_id="watches_remove", responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Stop watching a repository."""
        require(request, "checkpoint.register")
        row = own(request, HubWatch.objects.filter(removed_at=None), pk)
        services_watches.unwatch(row, actor=caller(request))
        return Response(status=204)

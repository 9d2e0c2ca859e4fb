"""Say what goes over the wire for models, checkpoints, lineage, blobs, tokens and the ledger."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.models import ApiToken, Checkpoint, LedgerEntry, Model
from registry.services import RELATIONS


class ModelOut(serializers.ModelSerializer[Model]):
    class Meta:
        model = Model
        fields = ["id", "name", "description", "created_at"]


class ParentIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    relation = serializers.ChoiceField(choices=RELATIONS)
    digest = serializers.CharField(max_length=71, required=False, allow_null=True)


class DatasetIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    license = serializers.CharField(max_length=100, required=False, allow_blank=True)
    use = serializers.CharField(max_length=30, default="training")


class CheckpointIn(serializers.Serializer[Any]):
    name = serializers.RegexField(
        r"^[\w.-]+/[\w.-]+$", max_length=200, help_text="org/name, as on the Hub"
    )
    kind = serializers.ChoiceField(choices=Checkpoint.Kind.choices)
    manifest = serializers.JSONField(help_text="as `lictor manifest DIR --json` prints it")
    parents = ParentIn(many=True, default=list)
    datasets = DatasetIn(many=True, default=list)


class ParentOut(serializers.Serializer[Any]):
    name = serializers.CharField(source="parent_name")
    relation = serializers.CharField()
    checkpoint = serializers.UUIDField(source="parent_id", allow_null=True)


class CheckpointOut(serializers.ModelSerializer[Checkpoint]):
    name = serializers.CharField(source="model.name")
    submitted_by = serializers.CharField(source="submitted_by_name")
    parents = ParentOut(source="parent_edges", many=True)

    class Meta:
        model = Checkpoint
        fields = [
            "id",
            "name",
            "digest",
            "kind",
            "declared",
            "parameters",
            "weights_bytes",
            "parents",
            "submitted_by",
            "created_at",
        ]


class CheckpointDetailOut(CheckpointOut):
    class Meta(CheckpointOut.Meta):
        fields = [*CheckpointOut.Meta.fields, "manifest", "config"]


class MissingIn(serializers.Serializer[Any]):
    sha256 = serializers.ListField(child=serializers.CharField(max_length=64), max_length=5000)


class MissingOut(serializers.Serializer[Any]):
    missing = serializers.ListField(child=serializers.CharField())


class BlobOut(serializers.Serializer[Any]):
    sha256 = serializers.CharField()
    size = serializers.IntegerField()


class NodeOut(serializers.ModelSerializer[Checkpoint]):
    name = serializers.CharField(source="model.name")

    class Meta:
        model = Checkpoint
        fields = ["id", "name", "digest", "kind"]


class EdgeOut(serializers.Serializer[Any]):
    child = serializers.UUIDField(source="child_id")
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]  # DRF keeps its own `parent` apart from fields
    parent_name = serializers.CharField()
    relation = serializers.CharField()


class LineageOut(serializers.Serializer[Any]):
    nodes = NodeOut(many=True)
    edges = EdgeOut(many=True)


class TokenIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    expires_in_days = serializers.IntegerField(min_value=1, max_value=3650, required=False)


class TokenOut(serializers.ModelSerializer[ApiToken]):
    owner = serializers.CharField(source="owner.username")

    class Meta:
        model = ApiToken
        fields = ["id", "name", "prefix", "owner", "expires_at", "revoked_at", "created_at"]


class TokenMadeOut(TokenOut):
    token = serializers.CharField(help_text="shown this once")

    class Meta(TokenOut.Meta):
        fields = [*TokenOut.Meta.fields, "token"]


class LedgerEntryOut(serializers.ModelSerializer[LedgerEntry]):
    payload = serializers.SerializerMethodField()

    class Meta:
        model = LedgerEntry
        fields = ["seq", "at", "actor", "action", "subject", "payload", "prev", "hash"]

    @extend_schema_field({"type": "object"})
    def get_payload(self, row: LedgerEntry) -> Any:
        return row.payload

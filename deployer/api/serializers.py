"""Say what goes over the wire for targets, endpoints, deployments and permits."""

from typing import Any

from rest_framework import serializers

from deployer.models import Deployment, Endpoint, EndpointKey, Replica, Target


class TargetIn(serializers.Serializer[Any]):
    name = serializers.SlugField(max_length=50)
    kind = serializers.ChoiceField(choices=Target.Kind.choices)
    gpu = serializers.CharField(max_length=20, help_text="a10g and so on, or cpu")


class TargetOut(serializers.ModelSerializer[Target]):
    class Meta:
        model = Target
        fields = ["id", "name", "kind", "gpu", "created_at"]


class EndpointIn(serializers.Serializer[Any]):
    name = serializers.SlugField(max_length=80, help_text="the `model` that clients ask for")
    checkpoint = serializers.UUIDField()
    target = serializers.CharField(max_length=50, help_text="a target's name")
    use = serializers.JSONField(required=False, help_text="deploy by the approval for this use")
    review = serializers.UUIDField(required=False, help_text="deploy by this approval")
    reasoning_policy = serializers.JSONField(default=dict)
    replicas = serializers.IntegerField(min_value=1, max_value=64, default=1)
    guard = serializers.UUIDField(
        required=False, help_text="a registered guard; else the one the approval asks for, if any"
    )


class EndpointPatch(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField(required=False)
    use = serializers.JSONField(required=False)
    review = serializers.UUIDField(required=False)
    reasoning_policy = serializers.JSONField(required=False)
    replicas = serializers.IntegerField(min_value=1, max_value=64, required=False)
    guard = serializers.UUIDField(required=False, allow_null=True, help_text="null: none")


class ReplicaOut(serializers.ModelSerializer[Replica]):
    class Meta:
        model = Replica
        fields = [
            "id",
            "state",
            "generation",
            "index",
            "serial",
            "permit_issued_at",
            "started_at",
            "ready_at",
            "stopped_at",
            "message",
        ]


class EndpointOut(serializers.ModelSerializer[Endpoint]):
    model = serializers.CharField(source="checkpoint.model.name")
    digest = serializers.CharField(source="checkpoint.digest")
    target = serializers.CharField(source="target.name")
    replicas = ReplicaOut(many=True)

    class Meta:
        model = Endpoint
        fields = [
            "id",
            "name",
            "model",
            "checkpoint",
            "digest",
            "review",
            "guard",
            "target",
            "desired",
            "desired_replicas",
            "generation",
            "observed_generation",
            "phase",
            "message",
            "ended",
            "reasoning_policy",
            "version",
            "replicas",
            "created_at",
        ]


class KeyIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)


class KeyOut(serializers.ModelSerializer[EndpointKey]):
    class Meta:
        model = EndpointKey
        fields = ["id", "name", "prefix", "expires_at", "revoked_at", "created_at"]


class KeyMadeOut(KeyOut):
    key = serializers.CharField(help_text="shown this once")

    class Meta(KeyOut.Meta):
        fields = [*KeyOut.Meta.fields, "key"]


class DeploymentOut(serializers.ModelSerializer[Deployment]):
    endpoint = serializers.CharField(source="endpoint.name")
    model = serializers.CharField(source="checkpoint.model.name")
    digest = serializers.CharField(source="checkpoint.digest")
    requested_by = serializers.CharField(source="requested_by_name")

    class Meta:
        model = Deployment
        fields = [
            "id",
            "endpoint",
            "generation",
            "model",
            "digest",
            "review",
            "guard",
            "requested_by",
            "memory_plan",
            "created_at",
        ]


class PermitOut(serializers.ModelSerializer[Replica]):
    endpoint = serializers.CharField(source="endpoint.name")
    replica = serializers.UUIDField(source="id")

    class Meta:
        model = Replica
        fields = ["replica", "endpoint", "serial", "permit_issued_at", "state"]

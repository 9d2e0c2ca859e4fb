"""Show the deployer's tables; they change only through services, which write the ledger too."""

from django.contrib import admin

from deployer.models import Deployment, Endpoint, EndpointKey, Replica, Target
from registry.admin import ReadOnly


@admin.register(Target)
class TargetAdmin(ReadOnly):
    list_display = ["name", "kind", "gpu", "organisation"]


@admin.register(Endpoint)
class EndpointAdmin(ReadOnly):
    list_display = ["name", "organisation", "checkpoint", "desired", "phase", "message"]
    list_filter = ["phase", "desired"]


@admin.register(Deployment)
class DeploymentAdmin(ReadOnly):
    list_display = ["endpoint", "generation", "checkpoint", "requested_by_name", "created_at"]


@admin.register(Replica)
class ReplicaAdmin(ReadOnly):
    list_display = ["endpoint", "generation", "index", "state", "serial", "message"]
    list_filter = ["state"]
    # The permit and the handle are for machines.
    exclude = ["permit", "handle"]


@admin.register(EndpointKey)
class EndpointKeyAdmin(ReadOnly):
    list_display = ["name", "prefix", "endpoint", "organisation", "expires_at", "revoked_at"]
    exclude = ["sha256"]

"""Read what the deployer holds, scoped to one organisation."""

from django.db.models import QuerySet

from deployer.models import Deployment, Endpoint, Replica, Target
from registry.models import Organisation


def targets(organisation: Organisation) -> "QuerySet[Target]":
    rows: QuerySet[Target] = Target.objects.for_org(organisation)
    return rows


def endpoints(organisation: Organisation) -> "QuerySet[Endpoint]":
    rows: QuerySet[Endpoint] = (
        Endpoint.objects.for_org(organisation)
        .select_related("checkpoint__model", "target", "review")
        .prefetch_related("replicas")
    )
    return rows


def deployments(organisation: Organisation) -> "QuerySet[Deployment]":
    rows: QuerySet[Deployment] = Deployment.objects.for_org(organisation).select_related(
        "endpoint", "checkpoint__model"
    )
    return rows


def permits(organisation: Organisation) -> "QuerySet[Replica]":
    """Return the replicas that were ever given a permit, by their last one."""
    rows: QuerySet[Replica] = (
        Replica.objects.for_org(organisation)
        .exclude(permit_issued_at=None)
        .select_related("endpoint")
    )
    return rows

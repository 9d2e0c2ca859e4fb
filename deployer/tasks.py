"""Queue reconciling: a task takes an endpoint's id, does one round, and may run twice."""

from celery import shared_task

from deployer import reconciling


@shared_task(name="deployer.tasks.reconcile", acks_late=True)
def reconcile(endpoint_id: str) -> None:
    """Bring one endpoint a step nearer, and come back soon while something is under way."""
    if reconciling.reconcile_endpoint(endpoint_id):
        reconcile.apply_async((endpoint_id,), countdown=0.5)


@shared_task(name="deployer.tasks.sweep_endpoints")
def sweep_endpoints() -> None:
    """Look at every endpoint that should run or still has replicas; lost hints end here."""
    for pk in reconciling.endpoints_due():
        reconciling.reconcile_endpoint(pk)

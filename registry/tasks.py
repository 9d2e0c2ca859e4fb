"""Queue the registry's own work: relay the outbox, sign the ledgers."""

from celery import shared_task

from registry import outbox
from registry.models import Organisation
from registry.signing import sign_ledger


@shared_task(name="registry.tasks.relay_outbox")
def relay_outbox() -> None:
    """Hand waiting notices to their handlers; running twice delivers twice, which is allowed."""
    outbox.relay()


@shared_task(name="registry.tasks.sign_ledgers")
def sign_ledgers() -> None:
    """Sign the newest root of every ledger that has grown."""
    for organisation in Organisation.objects.all():
        sign_ledger(organisation)

"""Queue the registry's own work: relay the outbox, sign the ledgers."""

import logging

from celery import shared_task

from registry import outbox
from registry.errors import LictorError
from registry.models import Organisation
from registry.signing import sign_ledger
from registry.watch_tasks import read_watch, sweep_watches

# Celery looks for tasks in this module only.
__all__ = ["read_watch", "relay_outbox", "sign_ledgers", "sweep_watches"]

log = logging.getLogger(__name__)


@shared_task(name="registry.tasks.relay_outbox")
def relay_outbox() -> None:
    """Hand waiting notices to their handlers; running twice delivers twice, which is allowed."""
    outbox.relay()


@shared_task(name="registry.tasks.sign_ledgers")
def sign_ledgers() -> None:
    """Sign the newest root of every ledger that has grown; a broken one holds up no other."""
    for organisation in Organisation.objects.all():
        try:
            sign_ledger(organisation)
        except LictorError as error:
            log.error("not signed: %s", error)

"""Tell other rooms of a change, in the change's own transaction.

The row is the promise; `on_commit` only hurries it, and a periodic relay guarantees it. Delivery is
at least once, in order of writing where nothing fails, so every handler must be safe to run twice.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from registry.models import OutboxEvent
from registry.signals import TOPICS

log = logging.getLogger(__name__)

Handler = Callable[[str], None]
# A failing handler is tried again after this long, times the number of tries, up to ten minutes.
_RETRY: Final = timedelta(seconds=5)
_LONGEST_RETRY: Final = timedelta(minutes=10)

_handlers: dict[str, list[Handler]] = defaultdict(list)
_hint: list[Callable[[], object]] = []


def register(topic: str, handler: Handler) -> None:
    """Have `handler` called with the id of every notice on this topic. Once each, at start-up."""
    if topic not in TOPICS:
        raise ValueError(f"unknown topic {topic!r}; registry/signals.py lists the topics")
    if handler not in _handlers[topic]:
        _handlers[topic].append(handler)


def set_hint(send: Callable[[], object]) -> None:
    """Name what hurries the relay after a commit; it may fail, and then the sweep does the work."""
    _hint[:] = [send]


def publish(topic: str, key: str) -> None:
    """Promise, with the change that is being written, that followers will be told.

    Raises: TransactionManagementError outside a transaction.
    """
    if topic not in TOPICS:
        raise ValueError(f"unknown topic {topic!r}; registry/signals.py lists the topics")
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("publish belongs in the change's transaction")
    OutboxEvent.objects.create(topic=topic, key=key)
    transaction.on_commit(hurry)


def hurry() -> None:
    """Ask for a relay now. A broker that is down costs a log line, never the request."""
    for send in _hint:
        try:
            send()
        except Exception:  # noqa: BLE001 - whatever the broker's client raises, the row remains
            log.warning("the broker does not take hints; the sweep will relay the outbox")


def relay(*, now: datetime | None = None) -> int:
    """Hand the waiting notices to their handlers; return how many were done.

    A notice whose handler fails stays, with its tries counted, and does not hold up the others.
    """
    moment = now or timezone.now()
    # All that wait, not the first so many: those may be the ones that fail.
    waiting = list(OutboxEvent.objects.filter(dispatched_at=None).order_by("id"))
    return sum(_dispatch(event, moment) for event in waiting)


def _dispatch(event: OutboxEvent, now: datetime) -> bool:
    wait = min(_RETRY * event.attempts * event.attempts, _LONGEST_RETRY)
    if event.created_at + wait > now and event.attempts:
        return False
    try:
        for handler in _handlers[event.topic]:
            handler(event.key)
    except Exception:
        log.exception("notice %s %s failed, try %s", event.topic, event.key, event.attempts + 1)
        OutboxEvent.objects.filter(pk=event.pk).update(attempts=F("attempts") + 1)
        return False
    rows = OutboxEvent.objects.filter(Q(pk=event.pk) & Q(dispatched_at=None))
    return rows.update(dispatched_at=now) == 1

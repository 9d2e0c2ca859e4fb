"""Read watched repositories again on workers; the watch's row is the queue.

Where no Hub is set for the server nothing is read, and nothing is taken for unchanged.
"""

import logging

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from registry import services_watches
from registry.hub.refusals import HubRefusal
from registry.models import HubWatch

log = logging.getLogger(__name__)

_SWEEP = 20
_SOFT_SECONDS = 240
_HARD_SECONDS = 270


@shared_task(name="registry.watch_tasks.sweep_watches")
def sweep_watches() -> int:
    """Put the watches that are due before the workers; return how many."""
    if services_watches.hub_of_server() is None:
        return 0
    rows = services_watches.due(timezone.now(), _SWEEP)
    for row in rows:
        read_watch.delay(str(row.pk))
    return len(rows)


@shared_task(
    name="registry.watch_tasks.read_watch", soft_time_limit=_SOFT_SECONDS, time_limit=_HARD_SECONDS
)
def read_watch(watch_id: str) -> None:
    """Read one watch, unless it is not due, is gone, or somebody else holds it."""
    hub, now = services_watches.hub_of_server(), timezone.now()
    row = (
        HubWatch.objects.filter(pk=watch_id, removed_at=None, not_before__lte=now)
        .select_related("organisation", "owner")
        .first()
    )
    if hub is None or row is None or not services_watches.claim(row, now):
        return
    try:
        services_watches.read_watch(row, hub, now=now)
    except SoftTimeLimitExceeded:
        late = HubRefusal("unreachable", f"{row.repo}: reading took over {_SOFT_SECONDS} s.")
        services_watches.put_off(row, late, now=now)

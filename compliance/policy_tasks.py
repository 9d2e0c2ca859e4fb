"""Run what policies leave to workers: long dry runs, and judging a large inventory again.

Ids in, the rows are the queue, running twice is safe. The sweep is the guarantee.
"""

import logging
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from compliance.selectors_policies import behind
from compliance.services import policy_dry_runs
from compliance.services.assess import assess
from registry.errors import LictorError

log = logging.getLogger(__name__)

ACTOR = "system:compliance"
_SWEEP = 50
_SOFT_SECONDS = 840
_HARD_SECONDS = 870


@shared_task(soft_time_limit=_SOFT_SECONDS, time_limit=_HARD_SECONDS)
def dry_run(run_id: str) -> None:
    """Do one dry run, unless somebody else holds it or it is done."""
    policy_dry_runs.work(UUID(run_id))


@shared_task
def sweep_policies() -> int:
    """Do the dry runs that wait, and judge again what was judged under another policy.

    A full round asks for the next at once. What cannot be judged is logged and does not hold up
    the others.
    """
    now = timezone.now()
    for run_id in policy_dry_runs.waiting_runs(now):
        dry_run.delay(str(run_id))
    done = 0
    rows = behind(_SWEEP)
    for row in rows:
        try:
            assess(row.checkpoint, row.use, actor=ACTOR, now=now)
            done += 1
        except LictorError as error:
            log.warning("a sweep left out %s: %s", row.checkpoint_id, error.detail)
    if done and len(rows) == _SWEEP:
        sweep_policies.delay()
    return done

"""Keep watches: repositories that the server reads again by itself.

A watch holds when it may be read next; a reading that fails pushes that back and changes nothing
else, so what was known stays known and nothing is taken for unchanged that was not read.
"""

import hashlib
import io
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from registry import services_imports, storage
from registry.errors import BadInput, LictorError
from registry.hub.facts import is_repo
from registry.hub.folder import metadata_files
from registry.hub.intake import Hub, Reading
from registry.hub.lineage import Source, read_lineage
from registry.hub.refusals import HubRefusal
from registry.hub.wire import checked_seen
from registry.ledger.append import append
from registry.models import Checkpoint, HubWatch, Organisation, User
from registry.roles import can

EVERY: Final = timedelta(hours=1)
_FIRST_WAIT: Final = timedelta(minutes=2)
_LONGEST_WAIT: Final = timedelta(hours=12)
# A reading that a worker died over is taken up again after this long.
_CLAIM: Final = timedelta(minutes=10)
DEPTH: Final = 4


def watch(
    organisation: Organisation, *, actor: User, repo: str, revision: str = ""
) -> tuple[HubWatch, bool]:
    """Watch a repository: (row, is new). Raises: BadInput for what is no org/name."""
    if not is_repo(repo):
        raise BadInput(f"{repo[:200]!r} is not an org/name.", code="bad_name", place="repo")
    try:
        with transaction.atomic():
            row, is_new = HubWatch.objects.get_or_create(
                organisation=organisation,
                repo=repo,
                revision=revision,
                removed_at=None,
                defaults={"owner": actor, "not_before": timezone.now()},
            )
            if is_new:
                _note(row, "hub.watched", actor.username, {})
            return row, is_new
    except IntegrityError:
        held = HubWatch.objects.get(
            organisation=organisation, repo=repo, revision=revision, removed_at=None
        )
        return held, False


def unwatch(row: HubWatch, *, actor: User) -> None:
    """End a watch; ending it twice changes nothing."""
    with transaction.atomic():
        rows = HubWatch.objects.filter(pk=row.pk, removed_at=None)
        if rows.update(removed_at=timezone.now()) == 1:
            _note(row, "hub.unwatched", actor.username, {})


def due(now: datetime, limit: int) -> list[HubWatch]:
    """List the watches that may be read now, the longest waiting first."""
    rows = HubWatch.objects.filter(removed_at=None, not_before__lte=now)
    return list(rows.order_by("not_before")[:limit])


def claim(row: HubWatch, now: datetime) -> bool:
    """Take a watch for one reading; of two workers one wins."""
    held = HubWatch.objects.filter(pk=row.pk, removed_at=None, not_before=row.not_before)
    return held.update(not_before=now + _CLAIM) == 1


def hub_of_server() -> Hub | None:
    """Return the Hub that the server may ask; None where none is set."""
    if not settings.LICTOR_HUB_ENDPOINT:
        return None
    # A worker does not sit and wait: a busy Hub is asked again at the next sweep.
    token = settings.LICTOR_HUB_TOKEN or None
    return Hub(endpoint=settings.LICTOR_HUB_ENDPOINT, token=token, sleep=None)


def read_watch(row: HubWatch, source: Source, *, now: datetime) -> list[services_imports.Outcome]:
    """Read a watched repository and register what it is now, parents first.

    Raises nothing that the Hub, or what it holds, causes: it is written on the watch.
    """
    try:
        if not _may_register(row):
            raise HubRefusal("gated", f"{row.owner.username} may not register checkpoints now.")
        readings = read_lineage(source, row.repo, row.revision or None, depth=DEPTH)
        done = [_register(row, reading) for reading in readings]
    except LictorError as error:
        put_off(row, error, now=now)
        return []
    HubWatch.objects.filter(pk=row.pk).update(
        commit=done[-1].row.commit,
        read_at=now,
        not_before=now + EVERY,
        failures=0,
        last_error="",
    )
    return done


def _may_register(row: HubWatch) -> bool:
    member = row.owner.memberships.filter(organisation=row.organisation).first()
    return member is not None and row.owner.is_active and can(member.roles, "checkpoint.register")


def _register(row: HubWatch, reading: Reading) -> services_imports.Outcome:
    files = metadata_files(reading)
    for entry, data in files.contents:
        storage.store(row.organisation, io.BytesIO(data), sha256=entry.sha256)
    record = hashlib.sha256(reading.commit.canonical_bytes()).hexdigest()
    return services_imports.register_import(
        organisation=row.organisation,
        actor=row.owner,
        kind=Checkpoint.Kind.METADATA,
        manifest=files.manifest,
        commit=services_imports.read_record(row.organisation, record),
        seen=checked_seen(files.seen),
    )


def put_off(row: HubWatch, error: LictorError, *, now: datetime) -> None:
    """Note that a reading failed, and when it may be tried again."""
    wait = min(_FIRST_WAIT * 2 ** min(row.failures, 10), _LONGEST_WAIT)
    if isinstance(error, HubRefusal) and error.retry_after:
        wait = max(wait, timedelta(seconds=min(error.retry_after, 86_400)))
    with transaction.atomic():
        HubWatch.objects.filter(pk=row.pk).update(
            failures=F("failures") + 1, last_error=error.detail[:500], not_before=now + wait
        )
        # The first of a row of failures is told; the others are on the watch.
        if row.failures == 0:
            _note(row, "hub.watch_failed", "system:hub", {"error": error.detail[:500]})


def _note(row: HubWatch, action: str, actor: str, payload: dict[str, Any]) -> None:
    subject = f"{row.repo}@{row.revision or 'main'}"
    append(row.organisation, actor=actor, action=action, subject=subject[:300], payload=payload)

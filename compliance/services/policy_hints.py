"""Hurry workers to what a policy left to do; a lost hint costs seconds, for the sweep finds it."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

from django.db import transaction

JUDGE_AGAIN: Final = "judge again"
DRY_RUN: Final = "dry run"

_senders: dict[str, Callable[[UUID], None]] = {}
_log = logging.getLogger(__name__)


def set_hint(work: str, send: Callable[[UUID], None]) -> None:
    """Name what hurries a worker to one kind of work."""
    _senders[work] = send


def hurry_on_commit(work: str, pk: UUID) -> None:
    """Hurry after the transaction commits; nothing is sent when it rolls back."""
    transaction.on_commit(partial(_hurry, work, pk))


def _hurry(work: str, pk: UUID) -> None:
    send = _senders.get(work)
    if send is None:
        return
    try:
        send(pk)
    except Exception:  # noqa: BLE001 - whatever the broker's client raises, the row remains
        _log.warning("the broker takes no hints; the sweep will find %s %s", work, pk)

"""Append to the ledger: the only writer, in the transaction of the change that it records."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.ledger.chain import GENESIS, Entry
from registry.models import LedgerEntry, LedgerHead, Organisation


def append(
    organisation: Organisation, *, actor: str, action: str, subject: str, payload: dict[str, Any]
) -> LedgerEntry:
    """Write the next entry of this organisation's chain.

    Writers of one organisation queue on the head row's lock (on SQLite the transaction already
    holds the only write lock), so entries of concurrent changes never share a seq.

    Raises: TransactionManagementError outside a transaction; BadInput for a payload that
    canonical JSON cannot hold.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("append belongs in the change's transaction")
    LedgerHead.objects.get_or_create(
        organisation=organisation, defaults={"seq": 0, "hash": GENESIS}
    )
    head = LedgerHead.objects.select_for_update().get(organisation=organisation)
    entry = Entry(
        org=str(organisation.pk),
        seq=head.seq + 1,
        prev=head.hash,
        at=timezone.now().isoformat(timespec="microseconds"),
        actor=actor,
        action=action,
        subject=subject,
        payload=payload,
    )
    row = LedgerEntry.objects.create(
        organisation=organisation,
        seq=entry.seq,
        prev=entry.prev,
        hash=entry.hash,
        at=entry.at,
        actor=actor,
        action=action,
        subject=subject,
        payload=payload,
    )
    LedgerHead.objects.filter(pk=head.pk).update(seq=entry.seq, hash=entry.hash)
    return row

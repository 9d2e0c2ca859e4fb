"""Sign the newest Merkle root of each organisation's ledger, and write exports under one."""

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.keys import private_key
from registry.ledger import chain
from registry.ledger.export import export_lines
from registry.models import LedgerEntry, LedgerHead, Organisation, SignedRoot
from registry.selectors import ledger_entries


def entry_of(row: LedgerEntry) -> chain.Entry:
    """Turn a row into the entry that its hash is over."""
    return chain.Entry(
        org=str(row.organisation_id),
        seq=row.seq,
        prev=row.prev,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        payload=row.payload,
    )


def sign_ledger(organisation: Organisation, *, now: datetime | None = None) -> SignedRoot | None:
    """Sign a root over all entries, unless one of that size is signed; None for an empty ledger.

    Every entry is hashed anew on the way, so a row that was changed in the database shows as a
    root that does not match its head.
    """
    head = LedgerHead.objects.filter(organisation=organisation).first()
    if head is None or head.seq == 0:
        return None
    known: SignedRoot | None = SignedRoot.objects.filter(
        organisation=organisation, size=head.seq
    ).first()
    if known is not None:
        return known
    rows = ledger_entries(organisation).filter(seq__lte=head.seq)
    root = chain.merkle_root(entry_of(row) for row in rows.iterator())
    signed = chain.sign_root(
        private_key("ledger"),
        org=str(organisation.pk),
        size=head.seq,
        root=root,
        head=head.hash,
        at=(now or timezone.now()).isoformat(timespec="seconds"),
    )
    with transaction.atomic():
        row: SignedRoot
        row, _ = SignedRoot.objects.get_or_create(
            organisation=organisation,
            size=signed.size,
            defaults={
                "root": signed.root,
                "head": signed.head,
                "kid": signed.kid,
                "signature": signed.signature,
                "at": signed.at,
            },
        )
    return row


def export(organisation: Organisation) -> Iterator[bytes]:
    """Yield the lines of a signed export of the whole ledger as it stands now.

    Raises: Unavailable when the signing key is missing.
    """
    row = sign_ledger(organisation)
    key = private_key("ledger")
    if row is None:
        signed = chain.sign_root(
            key,
            org=str(organisation.pk),
            size=0,
            root=chain.MerkleTree().root(),
            head=chain.GENESIS,
            at=timezone.now().isoformat(timespec="seconds"),
        )
    else:
        signed = chain.SignedRoot(
            org=str(organisation.pk),
            size=row.size,
            root=row.root,
            head=row.head,
            at=row.at,
            kid=row.kid,
            signature=row.signature,
        )
    rows = ledger_entries(organisation).filter(seq__lte=signed.size)
    return export_lines((entry_of(row) for row in rows.iterator()), signed, key.public_key())

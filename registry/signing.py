"""Sign the newest Merkle root of each organisation's ledger, and write exports under one."""

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.errors import BadInput, Unavailable
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

    Every entry is hashed anew on the way: a chain that was changed in the database since it was
    written, or since its last signature, is not signed.

    Raises: Unavailable (code ledger_broken, naming the entry; code key_missing).
    """
    head = LedgerHead.objects.filter(organisation=organisation).first()
    if head is None or head.seq == 0:
        return None
    known: SignedRoot | None = SignedRoot.objects.filter(
        organisation=organisation, size=head.seq
    ).first()
    if known is not None:
        return known
    root = _checked_root(organisation, size=head.seq, head=head.hash)
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


def _checked_root(organisation: Organisation, *, size: int, head: str) -> str:
    """Return the Merkle root over the first `size` entries, which must be one chain to `head`."""
    last = SignedRoot.objects.filter(organisation=organisation, size__lt=size)
    signed: SignedRoot | None = last.order_by("-size").first()
    tree, previous = chain.MerkleTree(), chain.GENESIS
    for row in ledger_entries(organisation).filter(seq__lte=size).iterator():
        due = tree.size + 1
        try:
            entry = entry_of(row)
        except BadInput as error:
            raise _broken(organisation, due, error.detail) from error
        if row.seq != due:
            raise _broken(organisation, due, "it is missing")
        if entry.prev != previous:
            raise _broken(organisation, due, "it does not point back to the entry before it")
        if entry.hash != row.hash:
            raise _broken(organisation, due, "its content does not match its hash")
        tree.add(entry.canonical_bytes())
        previous = entry.hash
        if signed is not None and tree.size == signed.size and tree.root() != signed.root:
            raise _broken(organisation, due, "the entries up to it differ from what was signed")
    if tree.size != size or previous != head:
        raise _broken(organisation, tree.size + 1, "the chain does not end where its head says")
    return tree.root()


def _broken(organisation: Organisation, seq: int, what: str) -> Unavailable:
    return Unavailable(
        f"The ledger of {organisation} is broken at entry {seq}: {what}. Nothing is signed. Keep "
        "the database as it is and compare it with the newest export.",
        code="ledger_broken",
        extra={"seq": seq},
    )


def export(organisation: Organisation) -> Iterator[bytes]:
    """Yield the lines of a signed export of the whole ledger as it stands now.

    Raises: Unavailable when the signing key is missing or the ledger is broken.
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

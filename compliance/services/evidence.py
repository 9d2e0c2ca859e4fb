"""Record evidence as signed records that are never overwritten, and judge again with it.

A record's identity is the SHA-256 of its RFC 8785 canonical JSON; the ledger key signs those very
bytes, so a record taken out of the database can be verified alone.
"""

import hashlib
from datetime import datetime
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import transaction
from django.utils import timezone

from compliance.evidence.guardrail import KIND as GUARDRAIL
from compliance.models import Evidence, Guard
from compliance.rules.facts import EVIDENCE_RESULTS
from compliance.services.assess import reassess
from compliance.services.people import lock, require
from registry.errors import BadInput
from registry.keys import private_key
from registry.ledger.append import append
from registry.ledger.chain import key_id
from registry.models import Checkpoint, User
from registry.outbox import publish
from registry.signals import EVIDENCE_RECORDED

SCHEMA = "lictor.evidence/1"
_MAX_SUMMARY = 500
# What two sets of files are to each other is compared, and not stated.
MEASURED_ONLY = frozenset({"weight_comparison", "file_comparison"})


def attest(
    checkpoint: Checkpoint,
    *,
    kind: str,
    result: str,
    summary: str,
    actor: User,
    now: datetime | None = None,
) -> Evidence:
    """Record what a person states about a checkpoint; it weighs less than a measurement.

    Raises: RoleMissing; BadInput (evidence_invalid).
    """
    require(actor, checkpoint.organisation, "evidence.attach")
    _check_attestation(kind, result, summary)
    return record(
        checkpoint,
        kind=kind,
        result=result,
        method=Evidence.Method.ATTESTED,
        summary=summary.strip(),
        body={"statement": summary.strip()},
        by=actor.username,
        actor=actor,
        now=now,
    )


def _check_attestation(kind: str, result: str, summary: str) -> None:
    if kind not in EVIDENCE_RESULTS or kind in MEASURED_ONLY:
        known = ", ".join(sorted(set(EVIDENCE_RESULTS) - MEASURED_ONLY))
        raise BadInput(
            f"{kind!r} cannot be attested; known: {known}.", code="evidence_invalid", place="kind"
        )
    if result not in EVIDENCE_RESULTS[kind]:
        known = ", ".join(sorted(EVIDENCE_RESULTS[kind]))
        raise BadInput(
            f"{result!r} is no result of {kind}; known: {known}.",
            code="evidence_invalid",
            place="result",
        )
    if not 1 <= len(summary.strip()) <= _MAX_SUMMARY:
        raise BadInput(
            f"Say in 1 to {_MAX_SUMMARY} characters what the statement rests on.",
            code="evidence_invalid",
            place="summary",
        )


def record(
    checkpoint: Checkpoint,
    *,
    kind: str,
    result: str,
    method: str,
    summary: str,
    body: dict[str, Any],
    by: str,
    base: Checkpoint | None = None,
    guard: Guard | None = None,
    actor: User | None = None,
    now: datetime | None = None,
) -> Evidence:
    """Sign and store one record, and judge again what rests on the checkpoint.

    Idempotent: the same record is stored once. Raises: Unavailable (key_missing).
    """
    at = now or timezone.now()
    document = {
        "schema": SCHEMA,
        "organisation": str(checkpoint.organisation_id),
        "checkpoint": checkpoint.digest,
        "model": checkpoint.model.name,
        "base": base.digest if base is not None else None,
        # Only where there is one, so that a record of before reads as it did.
        **({"guard": guard.digest} if guard is not None else {}),
        "kind": kind,
        "result": result,
        "method": method,
        "summary": summary[:_MAX_SUMMARY],
        "recorded_by": by,
        "recorded_at": at.isoformat(),
        "body": body,
    }
    digest, kid, signature = sign(document)
    with transaction.atomic():
        organisation = lock(checkpoint.organisation_id)
        row, is_new = Evidence.objects.get_or_create(
            organisation=organisation,
            record_digest=digest,
            defaults={
                "checkpoint": checkpoint,
                "base": base,
                "guard": guard,
                "kind": kind,
                "result": result,
                "method": method,
                "summary": summary[:_MAX_SUMMARY],
                "record": document,
                "kid": kid,
                "signature": signature,
                "created_by": actor,
                "created_by_name": by,
            },
        )
        if is_new:
            _announce(row, by, at)
    return row


def _announce(row: Evidence, by: str, now: datetime) -> None:
    append(
        row.organisation,
        actor=by,
        action="evidence.recorded",
        subject=row.checkpoint.digest,
        payload={
            "evidence": str(row.pk),
            "kind": row.kind,
            "result": row.result,
            "method": row.method,
            "record_digest": row.record_digest,
            "kid": row.kid,
        },
    )
    publish(EVIDENCE_RECORDED, str(row.pk))
    reassess([row.checkpoint], actor=by, now=now)


def sign(document: dict[str, Any]) -> tuple[str, str, str]:
    """Sign a record: (digest "sha256:<hex>", key id, signature in hex)."""
    data = rfc8785.dumps(document)
    key = private_key("ledger")
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return digest, key_id(key.public_key()), key.sign(data).hex()


def is_genuine(row: Evidence, public_key: Ed25519PublicKey) -> bool:
    """Tell whether a stored record still has its digest and its signature."""
    data = rfc8785.dumps(row.record)
    if "sha256:" + hashlib.sha256(data).hexdigest() != row.record_digest:
        return False
    if row.kid != key_id(public_key):
        return False
    try:
        public_key.verify(bytes.fromhex(row.signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def has_current_measurement(checkpoint: Checkpoint, base: Checkpoint, suite_digest: str) -> bool:
    """Tell whether this very pair was measured with this very suite already."""
    rows = Evidence.objects.filter(
        checkpoint=checkpoint,
        base=base,
        guard=None,
        kind=GUARDRAIL,
        method=Evidence.Method.MEASURED,
    )
    return any(row.record["body"]["suite"]["digest"] == suite_digest for row in rows)

"""End the standing of checkpoints whose licence ended, each with the clause that ended it.

Only terminations of all rights by a matter end a standing by themselves: they follow from a fact
that a legal reviewer declared. A termination by a measured breach denies and makes approvals
stale; nothing serves, and people judge whether the measurement holds.
"""

import hashlib
from typing import Any

from compliance.models import Matter, Standing
from compliance.rules.assessment import Assessment, Termination
from compliance.rules.facts import canonical_json
from compliance.services.hints import hint_on_commit
from registry.ledger.append import append
from registry.models import Checkpoint
from registry.outbox import publish
from registry.signals import STANDING_CHANGED

PROBLEM_TYPE = "https://lictor.dev/problems/licence-ended"


def ending(report: Assessment) -> tuple[Termination, ...]:
    """List what in a judgement ends all rights by litigation."""
    return tuple(
        item for item in report.terminated if item.scope == "all" and item.matter is not None
    )


def end_for_report(checkpoint: Checkpoint, report: Assessment, *, actor: str) -> list[Standing]:
    """Write what a judgement says has ended; return the rows that are new.

    Call in the transaction of the judgement. Idempotent.
    """
    ended = ending(report)
    if not ended:
        return []
    matters = {
        row.reference: row
        for row in Matter.objects.filter(
            organisation=checkpoint.organisation_id, reference__in={item.matter for item in ended}
        )
    }
    found = [
        _end(checkpoint, item, matters[item.matter], actor=actor)
        for item in ended
        if item.matter in matters
    ]
    return [row for row in found if row is not None]


def _end(
    checkpoint: Checkpoint, ended: Termination, matter: Matter, *, actor: str
) -> Standing | None:
    cause = cause_of(ended, matter)
    row, is_new = Standing.objects.get_or_create(
        checkpoint=checkpoint,
        cause_digest=_cause_digest(cause),
        defaults={
            "organisation_id": checkpoint.organisation_id,
            "matter": matter,
            "cause": cause,
        },
    )
    if not is_new:
        return None
    append(
        checkpoint.organisation,
        actor=actor,
        action="standing.ended",
        subject=checkpoint.digest,
        payload={"standing": str(row.pk), "model": checkpoint.model.name, "cause": cause},
    )
    publish(STANDING_CHANGED, str(checkpoint.pk))
    hint_on_commit("standing")
    return row


def cause_of(ended: Termination, matter: Matter) -> dict[str, Any]:
    """Write the body of the 451 problem (RFC 9457, RFC 7725)."""
    effective = ended.effective or matter.filed_on
    said = f"of {ended.version} " if ended.version else ""
    return {
        "type": PROBLEM_TYPE,
        "title": "Unavailable for legal reasons",
        "status": 451,
        "detail": (
            f"The {ended.licence_title} {said}for {ended.model} ended on {effective} by section "
            f"{ended.section}, because this organisation filed {matter.reference}."
        ),
        "code": "licence_ended",
        "licence": ended.licence,
        "licence_title": ended.licence_title,
        "version": ended.version,
        "section": ended.section,
        "quote": ended.quote,
        "matter": str(matter.pk),
        "matter_reference": matter.reference,
        "effective": effective.isoformat() if effective else None,
        "model": ended.model,
    }


def _cause_digest(cause: dict[str, Any]) -> str:
    named = {key: cause[key] for key in ("licence", "section", "model", "matter")}
    return "sha256:" + hashlib.sha256(canonical_json(named)).hexdigest()

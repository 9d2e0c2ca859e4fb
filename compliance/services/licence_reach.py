"""Find what a licence record touches, and say what it would change before anybody approves it."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from compliance import selectors_licences as selectors
from compliance.models import Assessment, LicenceRecord
from compliance.policy.apply import apply
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.merge import affected_keys
from compliance.selectors_policies import policy_for, surroundings_of
from compliance.services import facts as facts_service
from compliance.services.licence_text import library_after
from compliance.services.uses import read_use
from registry.errors import Conflict
from registry.models import Organisation

# A judgement that rests on one of these may rest on the new record from now on.
_UNSURE = frozenset({"unresolved", "candidate", "near_text"})


def impact(record: LicenceRecord, *, now: datetime | None = None) -> list[dict[str, Any]]:
    """Say what approving would change in today's judgements; writes nothing.

    Raises: BadInput (licence_invalid); Conflict.
    """
    at = now or timezone.now()
    before, after = library_before(record.organisation), library_after(record)
    policy = policy_for(record.organisation)
    rows = []
    for row in touched(record, before, after, at):
        facts = facts_service.collect(row.checkpoint, read_use(row.use), now=at)
        known = surroundings_of(row.checkpoint)
        judged = apply(evaluate(facts, after), facts, policy, library=after, known=known)
        rows.append(
            {
                "checkpoint": str(row.checkpoint_id),
                "name": row.checkpoint.model.name,
                "use": row.use,
                "before": row.decision,
                "after": judged.decision,
            }
        )
    return rows


def library_before(organisation: Organisation) -> Library:
    """Give what counts now; the base alone when the records in force fit it no more.

    Retiring the record that does not fit has to stay possible.
    """
    try:
        return selectors.library_for(organisation)
    except Conflict:
        return selectors.base().library


def touched(
    held: LicenceRecord, before: Library, after: Library, now: datetime
) -> list[Assessment]:
    """List the current judgements that carry this licence or its family, or will from now on."""
    keys = affected_keys(before, after, held.key)
    rows = (
        Assessment.objects.filter(organisation=held.organisation_id, is_current=True)
        .select_related("checkpoint__model", "checkpoint__organisation")
        .order_by("checkpoint_id", "use_digest")
    )
    return [
        row
        for row in rows.iterator(chunk_size=200)
        if keys & _named(row.report) or (_is_unsure(row.report) and _carries(row, after, keys, now))
    ]


def _named(report: dict[str, Any]) -> set[str]:
    items = [*report["binding_licences"], *report["findings"]]
    return {item["licence"] for item in items if item["licence"]}


def _is_unsure(report: dict[str, Any]) -> bool:
    found = {item["resolution"] for item in report["binding_licences"]}
    return not found or bool(found & _UNSURE) or _open_identity(report)


def _open_identity(report: dict[str, Any]) -> bool:
    """Tell whether a question is open that belongs to no known licence."""
    return any(
        item["status"] == "needs_review" and not item["licence"] for item in report["findings"]
    )


def _carries(row: Assessment, after: Library, keys: frozenset[str], now: datetime) -> bool:
    facts = facts_service.collect(row.checkpoint, read_use(row.use), now=now)
    return bool(keys & _named(evaluate(facts, after).to_dict()))

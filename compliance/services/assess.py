"""Judge a checkpoint for a use, store the judgement, and end approvals that it overtakes.

One transaction. Judging again with nothing changed writes nothing, so it may run at any time and
any number of times.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from compliance.models import Assessment
from compliance.policy.apply import apply
from compliance.policy.change import weighty
from compliance.policy.document import Policy
from compliance.rules import assessment as judged
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, canonical_json, facts_document
from compliance.selectors_licences import library_for
from compliance.selectors_policies import policy_for, surroundings_of
from compliance.services import standing
from compliance.services.facts import collect
from compliance.services.people import lock
from compliance.services.staleness import overtake
from compliance.services.uses import IntendedUse, read_use
from registry.ledger.append import append
from registry.models import Checkpoint
from registry.selectors import closure_down

_DATED = ("as_of", "facts_digest", "catalogue_digest")
_WEIGHTY = frozenset({"violated", "needs_review", "unmet"})


def assess(
    checkpoint: Checkpoint, use: dict[str, Any], *, actor: str, now: datetime | None = None
) -> Assessment:
    """Judge one checkpoint for one use, on today's facts and catalogue.

    Idempotent: the same facts give the row that is there. What an approval was given on no longer
    holding makes it stale; an ended licence ends the standing, in the same transaction.
    Raises: BadInput (use_invalid).
    """
    intended, at = read_use(use), now or timezone.now()
    with transaction.atomic():
        # In turn, so that the judge who writes last has also read last.
        lock(checkpoint.organisation_id)
        found = judge(checkpoint, intended, now=at)
        row = _store(checkpoint, intended, found, actor=actor)
        overtake(row, actor=actor, now=at)
        standing.end_for_report(checkpoint, found.report, actor=actor)
    return row


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold a judgement with all it was made of; nothing of it is stored yet."""

    facts: Facts
    library: Library
    policy: Policy | None
    report: judged.Assessment

    @property
    def input_digest(self) -> str:
        """Digest what went in, the date left out."""
        document = facts_document(self.facts)
        del document["as_of"]
        inputs = {"facts": document, "catalogue": self.report.catalogue_digest}
        if self.policy is not None:
            inputs["policy"] = self.policy.rules_digest
        return _digest(inputs)

    @property
    def report_digest(self) -> str:
        """Digest what came out, the date left out."""
        told = self.report.to_dict()
        return _digest({key: value for key, value in told.items() if key not in _DATED})


def judge(checkpoint: Checkpoint, intended: IntendedUse, *, now: datetime) -> Judged:
    """Judge on the facts, the licences and the policy of this moment; writes nothing."""
    facts = collect(checkpoint, intended, now=now)
    library, policy = library_for(checkpoint.organisation), policy_for(checkpoint.organisation)
    plain, known = evaluate(facts, library), surroundings_of(checkpoint)
    report = apply(plain, facts, policy, library=library, known=known)
    return Judged(facts, library, policy, report)


def reassess(checkpoints: Iterable[Checkpoint], *, actor: str, now: datetime) -> int:
    """Judge again everything that stands on these checkpoints; return how many judgements.

    Call in the transaction of the change. A checkpoint's facts weigh on all its descendants.
    """
    keys = list(closure_down(list(checkpoints)).checkpoints)
    rows = Assessment.objects.filter(checkpoint__in=keys, is_current=True)
    found = list(rows.select_related("checkpoint__model").order_by("checkpoint_id", "use_digest"))
    for row in found:
        assess(row.checkpoint, row.use, actor=actor, now=now)
    return len(found)


def seen_digest(
    checkpoint: Checkpoint, intended: IntendedUse, facts: Facts, report: judged.Assessment
) -> str:
    """Digest what an approval binds to: manifest, use, lineage facts, weighty findings.

    Left out on purpose: the date, matters that change no finding, and the policy's digest. A
    drafted matter, a suit that no clause counts, or a policy's next version must not stop what it
    does not touch; what a policy's rules say here counts, word for word.
    """
    names = {item.model for item in report.binding_licences} | {report.subject}
    models = [one for one in facts_document(facts)["models"] if one["id"] in _closure(facts, names)]
    findings = {
        (one.status, one.rule, one.licence or "", one.section or "", one.model, one.waived_by or "")
        for one in report.findings
        if one.status in _WEIGHTY
    }
    ended = {(one.licence, one.section, one.model, one.scope) for one in report.terminated}
    spoken = weighty([one.to_dict() for one in report.findings])
    return _digest(
        {
            "schema": "lictor.seen/1",
            "manifest": checkpoint.digest,
            "use": intended.document,
            "models": models,
            "binding": [item.to_dict() for item in report.binding_licences],
            "findings": sorted(findings),
            "terminated": sorted(ended),
            "decision": report.decision,
            # Only where a policy speaks: what was approved without one stays approved.
            **({"policy": spoken} if spoken else {}),
        }
    )


def _closure(facts: Facts, names: set[str]) -> set[str]:
    parents = {model.id: [link.id for link in model.parents] for model in facts.models}
    found, waiting = set(names), list(names)
    while waiting:
        for name in parents.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _digest(value: object) -> str:
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def _store(
    checkpoint: Checkpoint, intended: IntendedUse, found: Judged, *, actor: str
) -> Assessment:
    facts, report, policy = found.facts, found.report, found.policy
    row, _ = Assessment.objects.get_or_create(
        checkpoint=checkpoint,
        use_digest=intended.digest,
        input_digest=found.input_digest,
        report_digest=found.report_digest,
        defaults={
            "organisation_id": checkpoint.organisation_id,
            "use": intended.document,
            "catalogue_digest": report.catalogue_digest,
            "policy_digest": policy.rules_digest if policy else "",
            "decision": report.decision,
            "report": report.to_dict(),
            "seen_digest": seen_digest(checkpoint, intended, facts, report),
            "as_of": facts.as_of,
            "is_current": False,
        },
    )
    _make_current(row, facts, actor=actor)
    return row


def _make_current(row: Assessment, facts: Facts, *, actor: str) -> None:
    """Flip the one current row of this checkpoint and use; note it in the ledger if it moved."""
    others = Assessment.objects.filter(
        checkpoint=row.checkpoint_id, use_digest=row.use_digest, is_current=True
    ).exclude(pk=row.pk)
    replaced = others.update(is_current=False)
    moved = Assessment.objects.filter(pk=row.pk, is_current=False).update(is_current=True)
    Assessment.objects.filter(pk=row.pk).update(as_of=facts.as_of)
    row.is_current, row.as_of = True, facts.as_of
    if moved:
        append(
            row.organisation,
            actor=actor,
            action="assessment.made",
            subject=row.checkpoint.digest,
            payload={
                "assessment": str(row.pk),
                "model": row.checkpoint.model.name,
                "use": row.use,
                "decision": row.decision,
                "input_digest": row.input_digest,
                "report_digest": row.report_digest,
                "catalogue_digest": row.catalogue_digest,
                "policy_digest": row.policy_digest,
                "replaces_earlier": bool(replaced),
            },
        )

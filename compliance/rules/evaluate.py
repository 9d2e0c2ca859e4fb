"""Judge facts against the catalogue: facts + library -> Assessment.

Owns the order of the steps; every step lives in its own module. Pure: same input, same bytes.
"""

from collections.abc import Iterable
from dataclasses import replace

from compliance.rules.assessment import (
    DECISION_BY_STATUS,
    DECISIONS,
    Assessment,
    Finding,
    Termination,
    decide,
)
from compliance.rules.binding import (
    Carrier,
    Spoken,
    alleged_ancestors,
    binding_licences,
    find_carriers,
    resolve_models,
    speaking_clauses,
)
from compliance.rules.catalogue import Library
from compliance.rules.clauses import PER_MODEL, judge
from compliance.rules.conflicts import judge_conflicts
from compliance.rules.context import Case, Speaking, Verdict
from compliance.rules.datasets import judge_datasets
from compliance.rules.facts import Facts, Waiver, facts_digest
from compliance.rules.lineage import trace
from compliance.rules.structure import (
    judge_identity,
    judge_lineage,
    judge_missing_guardrail_clause,
    judge_relabelling,
    judge_unlicensed_matters,
    judge_use,
)

WAIVABLE = frozenset({"unmet", "needs_review"})
REPEATING = frozenset({"guardrail", "litigation", "output_reach", "version_unresolved"})


def evaluate(facts: Facts, library: Library) -> Assessment:
    """Judge whether the subject may be used as stated, on the day `facts.as_of`.

    Laws: the order of models, matters and evidence changes nothing; one more filed matter never
    makes the decision milder; what is unknown is never allowed.
    """
    lineage = trace(facts)
    subject = lineage.models.get(facts.subject)
    if subject is None:
        return _subject_unknown(facts, library)
    resolved = resolve_models(facts, library)
    carriers = find_carriers(facts, lineage, resolved)
    case = Case(
        facts=facts,
        lineage=lineage,
        subject=subject,
        licence_keys={
            name: frozenset(one.key for one in item.licences) for name, item in resolved.items()
        },
        alleged_ancestors=alleged_ancestors(facts),
        own_licences=resolved[subject.id].licences,
        open_models=frozenset(name for name, item in resolved.items() if item.how == "candidates"),
    )
    verdict = _judge_clauses(carriers, case, library)
    findings = [
        *judge_use(facts, lineage),
        *judge_lineage(lineage),
        *judge_identity(carriers, lineage),
        *judge_relabelling(lineage, resolved, carriers),
        *judge_conflicts(carriers, case),
        *judge_datasets(facts, lineage, library),
        *judge_missing_guardrail_clause(carriers, case),
        *judge_unlicensed_matters(carriers, case),
        *verdict.findings,
    ]
    settled = _settle(findings, facts, verdict.terminated)
    return Assessment(
        subject=facts.subject,
        as_of=facts.as_of,
        decision=decide(settled),
        binding_licences=binding_licences(carriers, lineage),
        findings=settled,
        terminated=_ordered(verdict.terminated),
        facts_digest=facts_digest(facts),
        catalogue_digest=library.digest,
    )


def _subject_unknown(facts: Facts, library: Library) -> Assessment:
    finding = Finding(
        rule="subject_unknown",
        status="needs_review",
        severity="critical",
        model=facts.subject,
        path=(facts.subject,),
        because=f"Nothing is known about {facts.subject}: it is not among the models.",
        remedy="Describe the subject: its licence, its text and its parents.",
    )
    return Assessment(
        subject=facts.subject,
        as_of=facts.as_of,
        decision=decide((finding,)),
        binding_licences=(),
        findings=(finding,),
        terminated=(),
        facts_digest=facts_digest(facts),
        catalogue_digest=library.digest,
    )


def _judge_clauses(carriers: Iterable[Carrier], case: Case, library: Library) -> Verdict:
    """Judge what speaks; what hangs on the use alone once per licence, through the nearest."""
    findings: list[Finding] = []
    ended: list[Termination] = []
    heard: set[tuple[str, str]] = set()
    for spoken in speaking_clauses(carriers, case.subject.id, library):
        if len(spoken) == 1:
            told: list[tuple[Speaking, Verdict | None]] = [(item, None) for item in spoken[0]]
        else:
            told = _strictest(spoken, case)
        for speaking, known in told:
            if speaking.clause.kind not in PER_MODEL:
                name = (speaking.licence.key, speaking.clause.id)
                if name in heard:
                    continue
                heard.add(name)
            verdict = known or _judge(speaking, case)
            findings.extend(verdict.findings)
            ended.extend(verdict.terminated)
    return Verdict(tuple(findings), tuple(ended))


def _strictest(spoken: Spoken, case: Case) -> list[tuple[Speaking, Verdict | None]]:
    """Choose the version that asks the most; of those that ask the same, the last."""
    best: list[tuple[Speaking, Verdict | None]] = []
    most = (-1, -1, -1)
    for said in spoken:
        judged = [(item, _judge(item, case)) for item in said]
        asked = [
            DECISIONS.index(DECISION_BY_STATUS[finding.status])
            for _, verdict in judged
            for finding in verdict.findings
        ]
        ends = sum(len(verdict.terminated) for _, verdict in judged)
        weight = (max(asked, default=0), ends, sum(one > 0 for one in asked))
        if weight >= most:
            best, most = list(judged), weight
    return best


def _judge(speaking: Speaking, case: Case) -> Verdict:
    verdict = judge(speaking, case)
    return _only_suspect(verdict) if speaking.doubtful else verdict


def _only_suspect(verdict: Verdict) -> Verdict:
    """Turn what a clause would decide into a question: its words are not in the stored text."""
    note = " The stored text lacks these words, so a person has to read what it says instead."
    return Verdict(
        tuple(
            replace(item, status="needs_review", because=item.because + note)
            if item.status == "violated"
            else item
            for item in verdict.findings
        )
    )


def _settle(
    findings: Iterable[Finding], facts: Facts, ended: tuple[Termination, ...]
) -> tuple[Finding, ...]:
    """Collapse repetitions, apply waivers, and put the findings in their fixed order."""
    final = {(one.licence, one.matter) for one in ended}
    waived = [_waive(item, facts, final) for item in _collapse(findings)]
    return tuple(sorted(waived, key=Finding.sort_key))


def _collapse(findings: Iterable[Finding]) -> list[Finding]:
    """Keep one of findings that differ only in the model, and say how many it stands for.

    A lineage of hundreds under one licence would otherwise bury what matters.
    """
    kept: dict[object, Finding] = {}
    more: dict[object, int] = {}
    for item in findings:
        key: object = (item.rule, item.licence, item.section, item.status, item.evidence)
        if item.status == "needs_review" and item.rule not in REPEATING:
            key = (key, item.model, item.because)
        held = kept.setdefault(key, item)
        if held is not item:
            more[key] = more.get(key, 0) + 1
    return [
        replace(item, because=f"{item.because} The same holds for {more[key]} more.")
        if key in more
        else item
        for key, item in kept.items()
    ]


def _waive(item: Finding, facts: Facts, final: set[tuple[str, str | None]]) -> Finding:
    if item.status not in WAIVABLE:
        return item
    matters = {one.reference for one in item.evidence if one.kind == "matter"}
    if any((item.licence, matter) in final for matter in matters):
        return item
    for waiver in sorted(facts.waivers, key=lambda one: one.id):
        if _covers(waiver, item) and (
            waiver.expires_on is None or facts.as_of <= waiver.expires_on
        ):
            return replace(item, waived_by=waiver.id)
    return item


def _covers(waiver: Waiver, item: Finding) -> bool:
    return (
        waiver.rule == item.rule
        and waiver.licence in ("*", item.licence)
        and waiver.model in ("*", item.model)
    )


def _ordered(ended: tuple[Termination, ...]) -> tuple[Termination, ...]:
    unique = {
        (one.licence, one.section, one.model, one.matter or "", one.breach or ""): one
        for one in ended
    }
    return tuple(unique[key] for key in sorted(unique))

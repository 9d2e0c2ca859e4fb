"""Lay an organisation's policy over a judgement.

Laws: the decision never becomes milder; findings that are there stay as they are; the same input
gives the same bytes. A rule that cannot be decided asks a person, and still asks for the approvers
or the stage that it would have asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

from compliance.policy.document import ERROR, FIRED, SILENT, Policy, PolicyRule
from compliance.policy.environment import Surroundings, build_environment
from compliance.policy.expression import MAX_POLICY_STEPS, Variables, variables_of
from compliance.policy.stages import REQUIRES
from compliance.policy.tokens import ExpressionError
from compliance.rules.assessment import Assessment, EvidenceRef, Finding, Status, decide
from compliance.rules.catalogue import Library
from compliance.rules.facts import Facts

PREFIX: Final = "policy:"
ERROR_RULE: Final = "policy_error"
_NOTHING_MORE: Final = Surroundings()
STATUS: Final[dict[str, Status]] = {
    "deny": "violated",
    "needs_review": "needs_review",
    "condition": "unmet",
    "approvers": "unmet",
    "stage": "needs_review",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what one rule did: fired, silent, or error with what went wrong."""

    rule: PolicyRule
    state: str
    message: str = ""


def apply(
    assessment: Assessment,
    facts: Facts,
    policy: Policy | None,
    *,
    library: Library,
    known: Surroundings = _NOTHING_MORE,
) -> Assessment:
    """Add the policy's findings to a judgement and decide again; no policy changes nothing."""
    if policy is None:
        return assessment
    environment = build_environment(assessment, facts, library, known)
    made = policy_findings(policy, outcomes(policy, environment), facts)
    settled = tuple(sorted((*assessment.findings, *made), key=Finding.sort_key))
    return replace(assessment, findings=settled, decision=decide(settled))


def outcomes(policy: Policy, environment: Mapping[str, Any]) -> tuple[Outcome, ...]:
    """Run every rule over one environment, in the policy's order."""
    placed = dict(environment)
    if policy.risk and not placed.get("risk"):
        placed["risk"] = _risk(policy, placed)
    variables = variables_of(placed)
    steps = accumulate(rule.when.steps(variables.longest) for rule in policy.rules)
    return tuple(
        _outcome(rule, variables, spent=spent)
        for rule, spent in zip(policy.rules, steps, strict=True)
    )


def _outcome(rule: PolicyRule, variables: Variables, *, spent: int) -> Outcome:
    if spent > MAX_POLICY_STEPS:
        return Outcome(rule, ERROR, f"the rules cost more than {MAX_POLICY_STEPS} steps together")
    try:
        return Outcome(rule, FIRED if rule.when.holds(variables) else SILENT)
    except ExpressionError as error:
        return Outcome(rule, ERROR, str(error))


def _risk(policy: Policy, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Find the highest tier that holds; one above it that cannot be told leaves all unknown."""
    # Handing variables to the engine is what costs, so only those that the tiers read.
    read = {name for tier in policy.risk for name in tier.when.program.variables()}
    variables = variables_of({name: environment[name] for name in read if name in environment})
    for tier in sorted(policy.risk, key=lambda one: -one.level):
        try:
            if tier.when.holds(variables):
                return {"level": tier.level, "name": tier.name}
        except ExpressionError:
            return {}
    return {"level": 0, "name": "none"}


def policy_findings(policy: Policy, ran: tuple[Outcome, ...], facts: Facts) -> tuple[Finding, ...]:
    """Turn what the rules did into findings; a silent rule leaves none."""
    found = [
        _waive(_finding(policy, one, facts), facts)
        if one.state == FIRED
        else _failed(policy, one, facts)
        for one in ran
        if one.state != SILENT
    ]
    return tuple(found)


def _finding(policy: Policy, ran: Outcome, facts: Facts) -> Finding:
    rule = ran.rule
    return Finding(
        rule=PREFIX + rule.id,
        status=STATUS[rule.then.kind],
        severity=rule.severity,
        model=facts.subject,
        path=(facts.subject,),
        quote=rule.when.source,
        because=rule.because,
        remedy=rule.remedy,
        evidence=_evidence(policy, rule),
    )


def _failed(policy: Policy, ran: Outcome, facts: Facts) -> Finding:
    rule = ran.rule
    return Finding(
        rule=ERROR_RULE,
        status="needs_review",
        severity="high",
        model=facts.subject,
        path=(facts.subject,),
        quote=rule.when.source,
        because=f"The policy's rule '{rule.id}' could not be decided: {ran.message}.",
        remedy="State the fact that is missing, or have the rule ask has(...) before it reads it.",
        evidence=_evidence(policy, rule),
    )


def _evidence(policy: Policy, rule: PolicyRule) -> tuple[EvidenceRef, ...]:
    spoken = EvidenceRef(
        kind="policy", reference=policy.rules_digest, summary=f"{policy.name}: {rule.id}"
    )
    if rule.then.kind not in ("approvers", "stage"):
        return (spoken,)
    return (spoken, EvidenceRef(kind=REQUIRES, reference=str(rule.then)))


def _waive(finding: Finding, facts: Facts) -> Finding:
    """Let a waiver cover what it names; who must approve is no finding that one person waives."""
    asks_for_people = any(item.kind == REQUIRES for item in finding.evidence)
    if finding.status not in ("unmet", "needs_review") or asks_for_people:
        return finding
    for waiver in sorted(facts.waivers, key=lambda one: one.id):
        in_time = waiver.expires_on is None or facts.as_of <= waiver.expires_on
        named = waiver.rule == finding.rule and waiver.model in ("*", finding.model)
        if named and waiver.licence == "*" and in_time:
            return replace(finding, waived_by=waiver.id)
    return finding

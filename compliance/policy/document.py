"""Read an organisation's policy from YAML into checked rules, or refuse it with every fault.

A policy can only add findings, so it can only make a decision stricter. Its digests: `digest` is
over everything, `rules_digest` leaves the tests out, since they judge nothing.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from compliance.policy.expression import (
    EXPECTED_ITEMS,
    MAX_POLICY_STEPS,
    Expression,
    compile_expression,
)
from compliance.policy.shape import check_given
from compliance.policy.tokens import ExpressionError
from compliance.rules.assessment import DECISIONS, Severity
from compliance.rules.facts import canonical_json
from compliance.rules.faults import FaultList, InputFaults
from compliance.rules.reading import Reader
from compliance.rules.safe_yaml import read_yaml

CODE: Final = "policy_invalid"
MAX_BYTES: Final = 64 * 1024
MAX_RULES: Final = 100
MAX_TESTS: Final = 300
MAX_APPROVERS: Final = 5
STAGES: Final = ("legal", "security", "safety")
SEVERITIES: Final = ("info", "low", "medium", "high", "critical")
FIRED, SILENT, ERROR = "fired", "silent", "error"

Kind = Literal["deny", "needs_review", "condition", "approvers", "stage"]
_PLAIN: Final = ("deny", "needs_review", "condition")
_DEFAULT_SEVERITY: Final[dict[str, Severity]] = {
    "deny": "high",
    "needs_review": "medium",
    "condition": "medium",
    "approvers": "medium",
    "stage": "medium",
}
_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Say what a rule asks for when it fires: `approvers` in each stage, or one `stage` more."""

    kind: Kind
    approvers: int = 1
    stage: str = ""

    def __str__(self) -> str:
        if self.kind == "approvers":
            return f"approvers:{self.approvers}"
        return f"stage:{self.stage}" if self.kind == "stage" else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """Hold one rule; `when` is its expression."""

    id: str
    when: Expression
    then: Effect
    because: str
    remedy: str | None
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskTier:
    """Hold one tier of risk as the organisation draws it; the highest that holds counts."""

    level: int
    name: str
    when: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """Hold one of the author's own tests: what is given, and what each rule should do."""

    name: str
    given: dict[str, Any]
    outcomes: dict[str, str]
    decision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Hold a checked policy."""

    name: str
    risk: tuple[RiskTier, ...]
    rules: tuple[PolicyRule, ...]
    tests: tuple[PolicyTest, ...]
    digest: str
    rules_digest: str


def read_policy(raw: bytes, *, source: str) -> Policy:
    """Read and check one policy document.

    Raises:
        InputFaults: code "policy_invalid", listing every fault with its place.
    """
    data = read_yaml(raw, source=source, code=CODE, max_bytes=MAX_BYTES)
    faults = FaultList()
    reader = Reader("", data, faults)
    reader.only({"name", "risk", "rules", "tests"})
    name = reader.text("name")
    if len(name) > 100:
        faults.add("name", "at most 100 characters")
    risk = reader.each("risk", _read_tier)
    rules = reader.each("rules", _read_rule)
    tests = reader.each("tests", lambda one: _read_test(one, {rule.id for rule in rules}))
    _check_whole(risk, rules, tests, faults)
    faults.raise_if_any(CODE, source)
    judging = {"name": name, "risk": data.get("risk"), "rules": data["rules"]}
    return Policy(
        name=name,
        risk=risk,
        rules=rules,
        tests=tests,
        digest=_digest({**judging, "tests": data.get("tests")}, source),
        rules_digest=_digest(judging, source),
    )


def _digest(value: Any, source: str) -> str:
    try:
        return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()
    except TypeError as error:
        faults = FaultList()
        faults.add("(document)", f"holds what is neither text, number nor flag: {error}")
        raise InputFaults(CODE, source, faults.faults) from error


def _check_whole(
    risk: tuple[RiskTier, ...],
    rules: tuple[PolicyRule, ...],
    tests: tuple[PolicyTest, ...],
    faults: FaultList,
) -> None:
    if not rules:
        faults.add("rules", "needs at least one rule; retire the policy to have none")
    run = [*(tier.when for tier in risk), *(rule.when for rule in rules)]
    steps = sum(one.steps(EXPECTED_ITEMS) for one in run)
    if steps > MAX_POLICY_STEPS:
        faults.add("rules", f"cost up to {steps} steps together; at most {MAX_POLICY_STEPS}")
    if len(rules) > MAX_RULES:
        faults.add("rules", f"at most {MAX_RULES} rules")
    if len(tests) > MAX_TESTS:
        faults.add("tests", f"at most {MAX_TESTS} tests")
    for place, what, keys in (
        ("rules", "id", [rule.id for rule in rules]),
        ("risk", "level", [str(tier.level) for tier in risk]),
        ("tests", "name", [test.name for test in tests]),
    ):
        for key in sorted({key for key in keys if key and keys.count(key) > 1}):
            faults.add(place, f"{what} '{key}' is given twice; keep one")


def _read_tier(reader: Reader) -> RiskTier:
    reader.only({"level", "name", "when"})
    level = reader.count("level")
    if level is None or not 1 <= level <= 10:
        reader.faults.add(reader.at("level"), "must be a whole number from 1 to 10")
    tier = RiskTier(level=level or 0, name=reader.text("name"), when=_read_when(reader))
    if any(word in tier.when.source for word in ("risk.", "findings", "decision")):
        reader.faults.add(
            reader.at("when"), "a risk tier cannot ask for risk, findings or decision"
        )
    return tier


def _read_rule(reader: Reader) -> PolicyRule:
    reader.only({"id", "when", "then", "because", "remedy", "severity"})
    name = reader.text("id")
    if name and not _ID.fullmatch(name):
        reader.faults.add(reader.at("id"), "small letters, digits and _, at most 40 characters")
    then = _read_effect(reader)
    severity = reader.choice("severity", SEVERITIES, _DEFAULT_SEVERITY[then.kind])
    return PolicyRule(
        id=name,
        when=_read_when(reader),
        then=then,
        because=reader.text("because"),
        remedy=reader.optional_text("remedy"),
        severity=cast(Severity, severity),
    )


def _read_when(reader: Reader) -> Expression:
    source = reader.text("when")
    try:
        return compile_expression(source if source.strip() else "true")
    except ExpressionError as error:
        reader.faults.add(reader.at("when"), str(error))
        return compile_expression("true")


def _read_effect(reader: Reader) -> Effect:
    value = reader.text("then")
    word, _, argument = value.partition(":")
    if value in _PLAIN:
        return Effect(kind=cast(Kind, value))
    count = int(argument) if re.fullmatch(r"[0-9]", argument) else 0
    if word == "approvers" and 1 <= count <= MAX_APPROVERS:
        return Effect(kind="approvers", approvers=count)
    if word == "stage" and argument in STAGES:
        return Effect(kind="stage", stage=argument)
    if value:
        known = ", ".join((*_PLAIN, f"approvers:1 to {MAX_APPROVERS}"))
        stages = ", ".join(f"stage:{stage}" for stage in STAGES)
        reader.faults.add(reader.at("then"), f"'{value}' is unknown; use {known}, {stages}")
    return Effect(kind="deny")


def _read_test(reader: Reader, rules: set[str]) -> PolicyTest:
    reader.only({"name", "given", "expect"})
    given = check_given(reader.data.get("given", {}), reader.at("given"), reader.faults)
    place = reader.at("expect")
    expected = reader.data.get("expect")
    if not isinstance(expected, dict) or not expected:
        reader.faults.add(place, "must say what a rule or the decision should be")
        expected = {}
    outcomes: dict[str, str] = {}
    for rule, outcome in expected.items():
        known: tuple[str, ...] = DECISIONS if rule == "decision" else (FIRED, SILENT, ERROR)
        if rule != "decision" and rule not in rules:
            reader.faults.add(f"{place}.{rule}", "the policy has no such rule")
        elif outcome not in known:
            reader.faults.add(f"{place}.{rule}", f"must be one of {', '.join(known)}")
        elif rule != "decision":
            outcomes[str(rule)] = str(outcome)
    decision = expected.get("decision")
    return PolicyTest(
        name=reader.text("name"),
        given=given,
        outcomes=outcomes,
        decision=None if decision is None else str(decision),
    )

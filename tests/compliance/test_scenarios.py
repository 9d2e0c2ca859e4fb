"""Whole judgements, written from the licence texts before the code was asked.

Each folder under tests/scenarios/ holds a scenario and what a reader of the texts expects of it.
An expectation names every finding that asks for something (violated, needs_review, unmet), so a
rule that reports too much fails here as surely as one that reports too little.
"""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.catalogue import CLAUSE_KINDS, Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts, ParentLink
from compliance.rules.library import CATALOGUE_FOLDER, build_library, bundled_library
from compliance.rules.scenario import load_scenario
from tests.compliance.build_facts import OCTOBER, make_base, make_facts, make_use

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
FOLDERS = sorted(path.parent for path in SCENARIOS.glob("*/scenario.yaml"))
ASKING = ("violated", "needs_review", "unmet")
EXPECT_KEYS = {"decision", "why", "findings", "terminated", "binding", "catalogue"}


def expectation(folder: Path) -> dict[str, Any]:
    read = yaml.safe_load((folder / "expect.yaml").read_text())
    assert isinstance(read, dict)
    return read


def catalogue_of(expected: dict[str, Any]) -> Library:
    """Give the shipped catalogue, with the invented licences where a scenario asks for them."""
    if "catalogue" not in expected:
        return bundled_library()
    extra = SCENARIOS / f"_{expected['catalogue']}"
    paths = [*CATALOGUE_FOLDER.glob("*.yaml"), *extra.glob("*.yaml")]
    return build_library({path.name: path.read_bytes() for path in paths})


def matches(wanted: dict[str, Any], found: Finding) -> bool:
    return all(getattr(found, name) == value for name, value in wanted.items())


def cases() -> list[Any]:
    """List the scenarios; one that is known to disagree has to go on failing until it is mended."""
    listed = []
    for folder in FOLDERS:
        expected = expectation(folder)
        marks = (
            [pytest.mark.xfail(strict=True, reason=expected["reason"])]
            if expected.get("disagrees")
            else []
        )
        listed.append(pytest.param(folder, id=folder.name, marks=marks))
    return listed


LIBRARIES = {"": bundled_library(), "house": catalogue_of({"catalogue": "house"})}
EXPECTED = {folder.name: expectation(folder) for folder in FOLDERS}
FACTS = {
    folder.name: load_scenario(folder / "scenario.yaml", as_of=date(2026, 11, 23))
    for folder in FOLDERS
}


@pytest.mark.parametrize("folder", cases())
def test_a_scenario_is_judged_as_its_texts_read(folder: Path) -> None:
    expected = EXPECTED[folder.name]
    judged = evaluate(FACTS[folder.name], LIBRARIES[expected.get("catalogue", "")])

    told = expected["why"]
    assert judged.decision == expected["decision"], told
    for wanted in expected["findings"]:
        assert any(matches(wanted, one) for one in judged.findings), f"{wanted}: {told}"
    for one in judged.findings:
        if one.status in ASKING:
            assert any(matches(wanted, one) for wanted in expected["findings"]), (
                f"{one.rule} of {one.licence} is {one.status}: {one.because} But: {told}"
            )
    check_ends(expected, judged)


def check_ends(expected: dict[str, Any], judged: Assessment) -> None:
    """Compare what ended and what binds, where the expectation speaks of them."""
    if "terminated" in expected:
        ended = {(one.licence, one.scope, one.matter or one.breach) for one in judged.terminated}
        wanted = {(one["licence"], one["scope"], one["cause"]) for one in expected["terminated"]}
        assert ended == wanted, expected["why"]
    if "binding" in expected:
        assert {one.licence for one in judged.binding_licences} == set(expected["binding"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda one: one.name)
def test_an_expectation_is_whole_and_says_why(folder: Path) -> None:
    expected = EXPECTED[folder.name]

    assert set(expected) - EXPECT_KEYS in (set(), {"disagrees", "reason"})
    assert {"decision", "why", "findings"} <= set(expected)
    assert len(expected["why"].split()) > 6
    assert expected["why"].rstrip().endswith(".")


def test_every_clause_kind_is_judged_by_a_scenario() -> None:
    kinds: set[str] = set()
    for folder in FOLDERS:
        expected = EXPECTED[folder.name]
        kinds |= {one["rule"] for one in expected["findings"]}

    assert set(CLAUSE_KINDS) - kinds == set()


def test_every_dated_nvidia_text_meets_every_fate_of_its_guardrails() -> None:
    family = {key for key in bundled_library().licences if key.startswith("nvidia-")}
    family = {key for key in family if "open-model" in key}
    seen: dict[str, set[str]] = {key: set() for key in family}
    for folder in FOLDERS:
        if folder.name.startswith("guardrail-"):
            facts = FACTS[folder.name]
            (pin,) = {one.license_pin for one in facts.models if one.id == facts.subject}
            seen.get(pin or "", set()).add(folder.name.rsplit("-", 1)[-1])

    fates = {"retained", "replaced", "removed", "unknown"}
    assert {key: fates - found for key, found in seen.items() if fates - found} == {}


def test_a_chain_of_two_thousand_derivatives_is_bound_by_its_first() -> None:
    chain = [
        ModelFacts(id=f"acme/m{at}", license="mit", parents=(ParentLink(id=f"acme/m{at + 1}"),))
        for at in range(2000)
    ]
    base = make_base(id="acme/m2000", pin=OCTOBER)
    judged = evaluate(make_facts(*chain, base, use=make_use()), bundled_library())

    assert judged.decision == "needs_review"
    asking = {(one.rule, one.model) for one in judged.findings if one.status == "needs_review"}
    assert asking == {("guardrail", "acme/m2000")}
    assert {one.licence for one in judged.binding_licences} == {"mit", OCTOBER}

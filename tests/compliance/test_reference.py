"""The rules agree with a naive evaluator that was written from the texts and not from them."""

from datetime import date

import pytest

from bench.reference_million import catalogue, compare, run, scenario, shrink, sort_of
from compliance.rules.catalogue import CLAUSE_KINDS
from compliance.rules.facts import Facts, ModelFacts, ParentLink, Use
from compliance.rules.safe_yaml import read_yaml
from compliance.rules.scenario import parse_scenario
from tests.compliance.build_facts import (
    OCTOBER,
    TODAY,
    make_base,
    make_facts,
    make_tuned,
    retention,
)
from tests.compliance.reference.clauses import READERS
from tests.compliance.reference.generate import Maker
from tests.compliance.reference.judge import reference
from tests.compliance.reference.pending import PENDING, is_pending

LIBRARY = catalogue()
MAKER = Maker(LIBRARY)
# Kinds that ask for nothing, and the two that live in `reference.events`.
TOLD_ONLY = {
    *("unilateral_update", "special_purpose", "separate_components", "indemnity"),
    *("trade_controls", "latest_version", "remote_restriction", "revocable", "deletion"),
    *("governing_law", "trademark", "licensee", "legal_age", "hosting_counts"),
}


@pytest.mark.parametrize("first", range(1, 1501, 250))
def test_random_scenarios_are_judged_alike(first: int) -> None:
    found, where, _ = run(first, 250)

    shown = [f"{times} x {sort} (seed {where[sort]})" for sort, times in found.most_common(5)]
    assert not found, "\n".join(shown)


def test_the_reference_reads_every_clause_kind() -> None:
    assert set(CLAUSE_KINDS) == {*READERS, *TOLD_ONLY, "guardrail", "litigation"}


def test_a_planted_fault_is_seen_and_shrunk_to_what_shows_it() -> None:
    facts = make_facts(
        make_tuned(retention("removed")), make_base(), ModelFacts(id="x/y"), use=Use()
    )
    mine = reference(facts, LIBRARY)
    assert mine.decision == "deny"
    assert ("guardrail", OCTOBER, "2.1", "violated") in mine.asked
    assert compare(facts, LIBRARY) == []


def test_the_same_seed_makes_the_same_scenario() -> None:
    assert MAKER.facts(7) == MAKER.facts(7)
    assert MAKER.facts(7) != MAKER.facts(8)


def test_a_random_scenario_can_be_written_down_and_read_back() -> None:
    for seed in range(1, 60):
        facts = MAKER.facts(seed)
        if any(one.licence_texts for one in facts.models):
            continue
        again = read_back(facts)
        assert reference(again, LIBRARY).asked == reference(facts, LIBRARY).asked


def read_back(facts: Facts) -> Facts:
    written = scenario(facts).encode()
    document = read_yaml(written, source="s", code="scenario_invalid")
    return parse_scenario(document, as_of=date.min, source="s", read_bytes=lambda name: b"")


def test_a_difference_is_shrunk_to_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(facts: Facts, library: object) -> list[str]:
        return ["only the rules bind x"] if any(one.matters for one in [facts]) else []

    monkeypatch.setattr("bench.reference_million.compare", wrong)
    seed = next(seed for seed in range(1, 99) if len(MAKER.facts(seed).matters) == 2)
    small = shrink(MAKER.facts(seed), LIBRARY, sort_of("only the rules bind x"))

    assert len(small.matters) == 1
    assert len(small.models) == 1


def test_only_differences_of_known_causes_are_put_aside() -> None:
    rule = next(iter(PENDING), "territory")
    known = [f"only the rules ask ('{rule}', 'x', '1', 'unmet') of ['m']", "decision: a, b"]

    assert is_pending(known) is (rule in PENDING)
    assert not is_pending([*known, "only the rules bind ('x', 'm')"])
    assert not is_pending(["decision: rules allow, reference deny"])


def test_a_ring_of_parents_ends() -> None:
    ring = tuple(
        ModelFacts(id=f"a/{at}", license="mit", parents=(ParentLink(id=f"a/{(at + 1) % 3}"),))
        for at in range(3)
    )
    facts = Facts(models=ring, subject="a/0", as_of=TODAY, use=Use(purposes=("internal",)))

    assert reference(facts, LIBRARY).decision == "needs_review"

"""Which version speaks while it is open which of them binds: the one that asks the most.

Taking the milder one would let a use go through that the text which came with the model forbids.
"""

from datetime import date
from typing import Any

import pytest

from compliance.rules.assessment import Assessment
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import EvidenceFact, ModelFacts, ParentLink
from tests.compliance.build_facts import BASE, TUNED, make_facts, make_matter, make_use
from tests.compliance.build_licences import make_clause, make_library, make_licence

Clauses = list[dict[str, Any]]
NEWER = {"date": date(2026, 1, 1)}
OLDER = {"date": date(2025, 1, 1)}
SUIT: dict[str, Any] = {
    "rights": ["patent"], "against": "licensor", "counterclaims": False, "outputs": False,
    "ends": "patent_only", "reach": "named_model", "carve_out": "responsive_suit",
}  # fmt: skip
POLICY = {"by_reference": False, "prohibited_domains": ["weapons"]}


def clauses(kind: str, *params: dict[str, Any]) -> Clauses:
    return [{**make_clause(kind, **one), "id": f"{kind}-{at}"} for at, one in enumerate(params)]


def judge(strict: Clauses, mild: Clauses, *evidence: EvidenceFact, **changes: Any) -> Assessment:
    """Judge a derivative of a model whose licence is one of two; the strict one is the older."""
    shared: dict[str, Any] = {"declares": {"license": ["shared"]}, "family": "house"}
    library = make_library(
        make_licence("a-strict", *strict, **shared, **OLDER),
        make_licence("b-mild", *mild, **shared, **NEWER),
        make_licence("free-1"),
    )
    models = (
        ModelFacts(id=TUNED, license="free-1", parents=(ParentLink(id=BASE),), evidence=evidence),
        ModelFacts(id=BASE, license="shared"),
    )
    use = make_use(**changes.pop("use", {}))
    return evaluate(make_facts(*models, use=use, **changes), library)


def speaks(judged: Assessment, kind: str) -> set[str | None]:
    return {one.licence for one in judged.findings if one.rule == kind}


@pytest.mark.parametrize(
    ("kind", "strict", "mild", "use"),
    [
        ("guardrail", {"substitute": "not_allowed", "acts": []},
         {"substitute": "substantially_similar", "acts": []}, {}),
        ("guardrail", {"substitute": "not_allowed", "acts": []},
         {"substitute": "not_allowed", "acts": [], "ends": False}, {}),
        ("guardrail", {"substitute": "not_allowed", "acts": [], "ends": False},
         {"substitute": "substantially_similar", "acts": []}, {}),
        ("acceptable_use", POLICY, {"by_reference": True, "url": "https://a.example"}, {}),
        ("acceptable_use", {**POLICY, "review_domains": ["law"]}, POLICY, {}),
        ("acceptable_use", {**POLICY, "prohibited_domains": ["a", "b"]}, POLICY, {}),
        ("acceptable_use", {"by_reference": False},
         {"by_reference": True, "prohibited_domains": ["a"]}, {}),
        ("output_training", {"forbids": "any_model"}, {"forbids": "language_models"},
         {"purposes": ("training_other_models",)}),
        ("output_training", {"forbids": "any_model"},
         {"forbids": "any_model", "spares": ["free-1"]}, {"purposes": ("training_other_models",)}),
        ("output_training", {"forbids": "any_model", "spares": ["free-1"]},
         {"forbids": "any_model", "spares": ["free-1", "b-mild"]},
         {"purposes": ("training_other_models",)}),
        ("output_use", {"limit": "research"}, {"limit": "noncommercial"}, {}),
        ("user_threshold", {"limit": 10}, {"limit": 11}, {}),
        ("user_threshold", {"limit": 10}, {"limit": 11}, {"monthly_active_users": 1}),
        ("user_threshold", {"limit": 10}, {"limit": 11}, {"monthly_active_users": None}),
        ("user_threshold", {"limit": 10, "effect": "end"}, {"limit": 10},
         {"monthly_active_users": None}),
        ("user_threshold", {"limit": 10, "effect": "ask"}, {"limit": 9, "effect": "badge"},
         {"monthly_active_users": None}),
        ("user_threshold", {"limit": 10}, {"limit": 9, "effect": "badge"},
         {"monthly_active_users": None}),
        ("revenue_threshold", {"limit_usd": 10}, {"limit_usd": 11}, {}),
        ("revenue_threshold", {"limit_usd": 10, "effect": "end"}, {"limit_usd": 9},
         {"annual_revenue_usd": None}),
        ("litigation", {**SUIT, "ends": "all"},
         {**SUIT, "rights": ["any"], "outputs": True, "counterclaims": True}, {}),
        ("litigation", {**SUIT, "rights": ["any"]},
         {**SUIT, "rights": ["patent", "copyright"], "outputs": True}, {}),
        ("litigation", {**SUIT, "rights": ["patent", "copyright"]},
         {**SUIT, "outputs": True, "counterclaims": True}, {}),
        ("litigation", {**SUIT, "outputs": True}, {**SUIT, "carve_out": "none"}, {}),
        ("litigation", {**SUIT, "outputs": True, "counterclaims": True},
         {**SUIT, "outputs": True, "carve_out": "none", "against": "anyone"}, {}),
        ("litigation", {**SUIT, "counterclaims": True}, {**SUIT, "against": "anyone"}, {}),
        ("litigation", {**SUIT, "carve_out": "none"}, SUIT, {}),
        ("litigation", {**SUIT, "against": "anyone"}, SUIT, {}),
        ("litigation", {**SUIT, "against": "anyone", "carve_out": "none"},
         {**SUIT, "against": "anyone"}, {}),
    ],
)  # fmt: skip
def test_of_versions_that_come_out_alike_the_stricter_by_its_words_speaks(
    kind: str, strict: dict[str, Any], mild: dict[str, Any], use: dict[str, Any]
) -> None:
    judged = judge(clauses(kind, strict), clauses(kind, mild), use=use)

    assert speaks(judged, kind) == {"a-strict"}


def test_of_versions_that_are_as_strict_the_one_that_says_more_speaks() -> None:
    judged = judge(clauses("noncommercial", {}, {}), clauses("noncommercial", {}))

    assert speaks(judged, "noncommercial") == {"a-strict"}


def test_of_versions_that_are_the_same_the_newer_speaks() -> None:
    judged = judge(clauses("noncommercial", {}), clauses("noncommercial", {}))

    assert speaks(judged, "noncommercial") == {"b-mild"}


def test_a_kind_that_one_version_alone_has_speaks_from_that_one() -> None:
    judged = judge(clauses("noncommercial", {}), clauses("authorisation", {}))

    assert speaks(judged, "noncommercial") == {"a-strict"}
    assert speaks(judged, "authorisation") == {"b-mild"}


def test_what_a_use_breaks_outweighs_words_that_look_stricter() -> None:
    worded = {"limit": 10**9, "effect": "end"}
    broken = {"limit": 10, "effect": "badge", "badge": "Made with it"}
    judged = judge(
        clauses("user_threshold", worded),
        clauses("user_threshold", broken),
        use={"purposes": ("hosted_service",)},
    )

    found = [one for one in judged.findings if one.rule == "user_threshold"]
    assert [(one.licence, one.status) for one in found] == [("b-mild", "unmet")]


def test_of_two_breaches_the_one_that_ends_rights_outweighs_the_other() -> None:
    ends = {"limit": 100, "effect": "end"}
    asks = {"limit": 10}
    judged = judge(clauses("revenue_threshold", {"limit_usd": 1}), clauses("user_threshold", asks))
    both = judge(clauses("user_threshold", ends), clauses("user_threshold", asks))

    assert (len(judged.terminated), len(both.terminated)) == (0, 1)
    assert speaks(both, "user_threshold") == {"a-strict"}


def test_of_versions_that_ask_alike_the_one_that_asks_more_often_speaks() -> None:
    limits = [{"limit": 10}, {"limit": 20}]
    judged = judge(
        clauses("user_threshold", *limits, {"limit": 10**9}),
        clauses("user_threshold", {"limit": 9}, {"limit": 10**9}, {"limit": 10**9}),
    )

    assert speaks(judged, "user_threshold") == {"a-strict"}


def test_each_finding_of_an_open_version_says_under_which_it_stands() -> None:
    judged = judge(clauses("noncommercial", {}), clauses("authorisation", {}))

    (found,) = [one for one in judged.findings if one.rule == "noncommercial"]
    assert "Under 'a-strict'" in found.because


@pytest.mark.parametrize(
    ("substitute", "named"), [("not_allowed", "a-strict"), ("substantially_similar", "b-mild")]
)
def test_the_version_with_the_stricter_guardrail_clause_is_named_as_binding(
    substitute: str, named: str
) -> None:
    mild = {"substitute": "substantially_similar", "acts": []}
    judged = judge(
        clauses("guardrail", {"substitute": substitute, "acts": []}), clauses("guardrail", mild)
    )

    (bound,) = [one for one in judged.binding_licences if one.model == BASE]
    assert (bound.licence, bound.resolution, bound.relation) == (named, "candidate", "finetune")
    assert bound.path == (TUNED, BASE)
    (asked,) = [one for one in judged.findings if one.rule == "version_unresolved"]
    assert (asked.licence, asked.model, asked.severity) == (named, BASE, "high")


def test_versions_of_two_families_speak_for_themselves() -> None:
    shared: dict[str, Any] = {"declares": {"license": ["shared"]}}
    library = make_library(
        make_licence("house-1", *clauses("noncommercial", {}), **shared),
        make_licence("mill-1", *clauses("noncommercial", {}), **shared),
    )
    judged = evaluate(make_facts(ModelFacts(id=BASE, license="shared")), library)

    assert speaks(judged, "noncommercial") == {"house-1", "mill-1"}
    asked = [one for one in judged.findings if one.rule == "version_unresolved"]
    assert [one.licence for one in asked] == ["house-1"]
    assert {one.licence for one in judged.binding_licences} == {"house-1", "mill-1"}


def test_a_suit_is_judged_by_the_version_it_ends() -> None:
    strict = {**SUIT, "ends": "all", "against": "anyone", "counterclaims": True}
    mild = {**SUIT, "rights": ["any"]}
    judged = judge(
        clauses("litigation", strict), clauses("litigation", mild), matters=(make_matter(),)
    )

    assert [(one.licence, one.scope) for one in judged.terminated] == [("a-strict", "all")]

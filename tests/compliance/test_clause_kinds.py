"""Clause terms that no licence in the catalogue uses yet, judged on small licences made here."""

from datetime import date
from typing import Any

import pytest
import yaml

from compliance.rules.assessment import Assessment
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts
from compliance.rules.library import build_library
from tests.compliance.build_facts import make_facts, make_matter, make_use

LITIGATION = {
    "rights": ["patent"],
    "against": "anyone",
    "counterclaims": True,
    "outputs": False,
    "ends": "all",
    "reach": "named_model",
    "carve_out": "none",
}


def library(kind: str, params: dict[str, Any], status: str = "read") -> Library:
    clause = {
        "id": "c", "kind": kind, "section": "1", "quote": "Words.", "trigger": "use",
        "actor": "licensee", "scope": "model", "effect": "prohibit", "params": params,
    }  # fmt: skip
    document = {
        "key": "house-1", "title": "House", "family": "house", "licensor": "House",
        "status": status, "source": "test", "date_read": date(2026, 1, 1),
        "declares": {"license": ["house-1"]}, "clauses": [clause],
    }  # fmt: skip
    return build_library({"house-1.yaml": yaml.safe_dump(document).encode()})


def judge(catalogue: Library, **changes: Any) -> Assessment:
    return evaluate(make_facts(ModelFacts(id="a/b", license="house-1"), **changes), catalogue)


@pytest.mark.parametrize(
    ("revenue", "decision"),
    [(1_000_000, "allow"), (1_000_001, "deny"), (None, "needs_review")],
)
def test_a_revenue_limit(revenue: int | None, decision: str) -> None:
    catalogue = library("revenue_threshold", {"limit_usd": 1_000_000})

    assert judge(catalogue, use=make_use(annual_revenue_usd=revenue)).decision == decision


@pytest.mark.parametrize(
    ("domain", "decision"), [("military", "deny"), ("retail", "allow_with_conditions")]
)
def test_a_domain_the_policy_forbids_in_words_that_were_read(domain: str, decision: str) -> None:
    catalogue = library(
        "acceptable_use", {"by_reference": False, "prohibited_domains": ["military"]}
    )

    assert judge(catalogue, use=make_use(domains=(domain,))).decision == decision


@pytest.mark.parametrize(("threats", "decision"), [(True, "deny"), (False, "allow")])
def test_a_threat_counts_where_the_text_says_so(threats: bool, decision: str) -> None:
    catalogue = library("litigation", {**LITIGATION, "threats": threats})
    matter = make_matter(status="threatened", alleges_model_infringes=("a/b",))

    assert judge(catalogue, matters=(matter,)).decision == decision


def test_a_suit_that_counts_only_against_the_licensor_goes_to_a_person() -> None:
    catalogue = library("litigation", {**LITIGATION, "against": "licensor"})
    matter = make_matter(alleges_model_infringes=("a/b",))

    assert judge(catalogue, matters=(matter,)).decision == "needs_review"


def test_a_text_that_leaves_counterclaims_out_spares_an_answer() -> None:
    catalogue = library("litigation", {**LITIGATION, "counterclaims": False})
    matter = make_matter(alleges_model_infringes=("a/b",), in_response=True)

    assert judge(catalogue, matters=(matter,)).decision == "allow"


@pytest.mark.parametrize("status", ["second_hand", "unverified"])
def test_a_licence_nobody_read_needs_review(status: str) -> None:
    assessment = judge(library("noncommercial", {}, status), use=make_use(commercial=False))

    assert assessment.decision == "needs_review"
    assert "licence_not_read" in {one.rule for one in assessment.findings}

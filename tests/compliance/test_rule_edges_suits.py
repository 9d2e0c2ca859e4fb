"""What a lawsuit does to a licence, term by term of the litigation clause.

Each case changes one term or one fact about the suit. Reading a term too widely stops a model that
may run; reading it too narrowly lets one run whose licence is gone.
"""

from datetime import timedelta
from typing import Any

import pytest

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts, ParentLink
from tests.compliance.build_facts import BASE, TODAY, TUNED, make_facts, make_matter
from tests.compliance.build_licences import make_clause, make_library, make_licence

TERMS: dict[str, Any] = {
    "rights": ["patent"], "against": "anyone", "counterclaims": True, "outputs": False,
    "ends": "all", "reach": "named_model", "carve_out": "none",
}  # fmt: skip
TOMORROW = TODAY + timedelta(1)
THREATS = {"threats": True}
SPARES = {"carve_out": "responsive_suit"}
LICENSOR = {"against": "licensor"}
WHOLE = {"reach": "whole_licence"}
OUTPUT = {"alleges_model_infringes": (), "alleges_output_infringes": (BASE,)}
MODELS = (
    ModelFacts(id=TUNED, license="free-1", parents=(ParentLink(id=BASE),)),
    ModelFacts(id=BASE, license="house-1"),
    ModelFacts(id="house/other", license="house-1"),
    ModelFacts(id="house/either", license="shared"),
    ModelFacts(id="other/sibling", license="free-1", parents=(ParentLink(id=BASE),)),
)


def judge(
    terms: dict[str, Any], *matters: dict[str, Any], clause: dict[str, Any] | None = None
) -> Assessment:
    speaks = {**make_clause("litigation", **{**TERMS, **terms}), **(clause or {})}
    both = {"declares": {"license": ["shared"]}, "family": "house"}
    library = make_library(
        make_licence("house-1", speaks, **both),
        make_licence("house-2", speaks, **both),
        make_licence("free-1"),
    )
    brought = tuple(make_matter(**{"id": f"m{at}", **one}) for at, one in enumerate(matters))
    return evaluate(make_facts(*MODELS, matters=brought), library)


def suits(judged: Assessment) -> list[Finding]:
    return [one for one in judged.findings if one.rule == "litigation"]


@pytest.mark.parametrize(
    ("terms", "matter", "status", "severity", "ended"),
    [
        ({}, {}, "violated", "critical", 1),
        ({}, {"filed_on": None}, "violated", "critical", 1),
        ({}, {"filed_on": TODAY}, "violated", "critical", 1),
        ({}, {"filed_on": TOMORROW}, "needs_review", "high", 0),
        ({}, {"status": "withdrawn"}, "needs_review", "critical", 1),
        ({}, {"status": "closed"}, "needs_review", "critical", 1),
        ({}, {"status": "withdrawn", "filed_on": None}, "needs_review", "critical", 0),
        ({}, {"status": "draft"}, "met", "medium", 0),
        ({}, {"status": "threatened"}, "met", "medium", 0),
        (THREATS, {"status": "threatened"}, "violated", "critical", 1),
        (THREATS, {"status": "draft"}, "met", "medium", 0),
        ({}, {"kind": "trademark"}, "not_applicable", "low", 0),
        ({}, {"kind": "trademark", "status": "draft"}, "not_applicable", "low", 0),
        ({}, {"kind": "copyright", "in_response": True}, "not_applicable", "low", 0),
        ({}, {"kind": "other"}, "needs_review", "high", 0),
        ({}, {"kind": "other", "status": "draft"}, "met", "medium", 0),
        (SPARES, {"kind": "other", "in_response": True}, "met", "medium", 0),
        ({"rights": ["any"]}, {"kind": "trademark"}, "violated", "critical", 1),
        ({"rights": ["any"]}, {"kind": "other"}, "violated", "critical", 1),
        ({"rights": ["any"]}, {"kind": "other", "status": "draft"}, "met", "medium", 0),
        (SPARES, {"in_response": True}, "met", "medium", 0),
        (SPARES, {"in_response": None}, "violated", "critical", 1),
        (SPARES, {"in_response": False}, "violated", "critical", 1),
        (SPARES, {"kind": "copyright", "in_response": True}, "not_applicable", "low", 0),
        ({"counterclaims": False}, {"in_response": True}, "met", "medium", 0),
        ({}, {"in_response": True}, "violated", "critical", 1),
        ({}, {"brought_by": "affiliate"}, "needs_review", "critical", 0),
        (LICENSOR, {}, "needs_review", "critical", 0),
        (LICENSOR, {"defendants": ("Someone", "house  LTD")}, "violated", "critical", 1),
        (LICENSOR, {"defendants": ("House Ltd Holding",)}, "needs_review", "critical", 0),
        ({"ends": "patent_only"}, {}, "needs_review", "critical", 1),
        ({}, OUTPUT, "not_applicable", "low", 0),
        ({"outputs": True}, OUTPUT, "violated", "critical", 1),
        ({}, {**OUTPUT, "alleges_output_infringes": (TUNED,)}, "not_applicable", "low", 0),
        ({}, {"alleges_model_infringes": ("other/sibling",)}, "needs_review", "critical", 0),
        ({}, {"alleges_model_infringes": (TUNED,)}, "needs_review", "critical", 0),
        (WHOLE, {"alleges_model_infringes": ("house/other",)}, "violated", "critical", 1),
        (WHOLE, {"alleges_model_infringes": ("house/either",)}, "needs_review", "critical", 0),
        (WHOLE, {"alleges_model_infringes": ("house/either", "house/other")}, "violated",
         "critical", 1),
    ],
)  # fmt: skip
def test_a_suit_is_weighed_by_every_term_of_the_clause(
    terms: dict[str, Any], matter: dict[str, Any], status: str, severity: str, ended: int
) -> None:
    judged = judge(terms, matter)

    (found,) = suits(judged)
    assert (found.status, found.severity, len(judged.terminated)) == (status, severity, ended)
    told = [(one.kind, one.reference, one.summary) for one in found.evidence]
    assert told == [("matter", "m0", matter.get("status", "filed"))]


@pytest.mark.parametrize("other", ["house/other", "house/either", "nobody/knows"])
def test_a_suit_over_another_model_leaves_a_text_alone_that_reaches_one_model(other: str) -> None:
    judged = judge({}, {"alleges_model_infringes": (other,)})

    (found,) = suits(judged)
    assert (found.status, found.severity, found.evidence) == ("met", "info", ())


@pytest.mark.parametrize(
    ("clause", "matter", "status"),
    [
        ({"actor": "group"}, {"brought_by": "affiliate"}, "violated"),
        ({"scope": "model_or_derivative"}, {"alleges_model_infringes": (TUNED,)}, "violated"),
        ({"scope": "derivative"}, {"alleges_model_infringes": (TUNED,)}, "violated"),
        ({"scope": "model_or_derivative"}, {"alleges_model_infringes": ("other/sibling",)},
         "needs_review"),
    ],
)  # fmt: skip
def test_whose_suit_and_over_what_is_read_from_the_clause(
    clause: dict[str, Any], matter: dict[str, Any], status: str
) -> None:
    assert [one.status for one in suits(judge({}, matter, clause=clause))] == [status]


def test_a_suit_that_ends_nothing_hides_none_that_does() -> None:
    judged = judge({}, {"status": "draft"}, {}, {"kind": "trademark"})

    told = {(one.evidence[0].reference, one.status) for one in suits(judged)}
    assert told == {("m0", "met"), ("m1", "violated"), ("m2", "not_applicable")}
    assert [one.matter for one in judged.terminated] == ["m1"]


@pytest.mark.parametrize(("ends", "status"), [("all", "filed"), ("patent_only", "withdrawn")])
def test_what_a_suit_ended_is_told_with_its_words_scope_and_day(ends: str, status: str) -> None:
    (ended,) = judge({"ends": ends}, {"status": status}).terminated

    assert (ended.licence, ended.licence_title, ended.version) == ("house-1", "House-1", None)
    assert (ended.section, ended.quote) == ("1", "Words about litigation.")
    assert (ended.model, ended.path) == (BASE, (TUNED, BASE))
    assert (ended.scope, str(ended.effective)) == (ends, "2026-03-01")
    assert (ended.matter, ended.breach) == ("m0", None)


@pytest.mark.parametrize("status", ["filed", "withdrawn", "closed", "draft", "threatened"])
@pytest.mark.parametrize("field", ["alleges_model_infringes", "alleges_output_infringes"])
@pytest.mark.parametrize("described", [True, False])
def test_a_suit_over_an_ancestor_without_a_licence_may_have_ended_it(
    status: str, field: str, described: bool
) -> None:
    child = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=BASE),))
    silent = (ModelFacts(id=BASE),) if described else ()
    matter = make_matter(**{"alleges_model_infringes": (), "status": status, field: (BASE,)})
    judged = evaluate(
        make_facts(child, *silent, matters=(matter,)), make_library(make_licence("mit"))
    )

    told = [(one.status, one.severity, one.model, one.path) for one in suits(judged)]
    path = (TUNED, BASE) if described else (BASE,)
    filed = status not in ("draft", "threatened")
    assert told == ([("needs_review", "critical", BASE, path)] if filed else [])
    for one in suits(judged):
        seen = [(item.kind, item.reference, item.summary) for item in one.evidence]
        assert seen == [("matter", "m1", status)]


def test_a_suit_over_a_licensed_ancestor_is_not_called_one_without_a_licence() -> None:
    child = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=BASE), ParentLink(id="x/y")))
    base = ModelFacts(id=BASE, license="mit")
    judged = evaluate(
        make_facts(child, base, ModelFacts(id="x/y"), matters=(make_matter(),)),
        make_library(make_licence("mit")),
    )

    assert suits(judged) == []


def test_a_suit_over_a_model_in_between_counts_where_the_text_names_derivatives() -> None:
    speaks = {**make_clause("litigation", **TERMS), "scope": "derivative"}
    library = make_library(make_licence("house-1", speaks), make_licence("free-1"))
    last = ModelFacts(id="acme/last", license="free-1", parents=(ParentLink(id=TUNED),))
    matter = make_matter(alleges_model_infringes=(TUNED,))
    judged = evaluate(make_facts(last, *MODELS[:2], matters=(matter,)), library)

    assert [one.status for one in suits(judged)] == ["violated"]

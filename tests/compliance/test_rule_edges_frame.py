"""What holds a judgement together: waivers, repetitions, ends, conflicts, and what is not known."""

from datetime import timedelta
from typing import Any

import pytest

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import (
    EvidenceFact,
    Facts,
    ModelFacts,
    ParentLink,
    Waiver,
    facts_digest,
)
from compliance.rules.library import bundled_library
from tests.compliance.build_facts import (
    BASE,
    OCTOBER,
    TODAY,
    TUNED,
    make_base,
    make_facts,
    make_matter,
    make_tuned,
    make_use,
)
from tests.compliance.build_licences import make_clause, make_library, make_licence

LIBRARY = bundled_library()
OUT: dict[str, Any] = {"purposes": ("redistribution",)}


def make_waiver(identity: str = "w1", **changes: Any) -> Waiver:
    return Waiver(**{"id": identity, "rule": "guardrail", "reason": "r", **changes})


def found(facts: Facts, rule: str) -> list[Finding]:
    return [one for one in evaluate(facts, LIBRARY).findings if one.rule == rule]


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"licence": OCTOBER}, True),
        ({"licence": "mit"}, False),
        ({"model": BASE}, True),
        ({"model": "acme/else"}, False),
        ({"rule": "litigation"}, False),
        ({"licence": OCTOBER, "model": "acme/else"}, False),
        ({"expires_on": TODAY}, True),
        ({"expires_on": TODAY - timedelta(1)}, False),
    ],
)
def test_a_waiver_covers_the_rule_licence_and_model_it_names(
    changes: dict[str, Any], covered: bool
) -> None:
    child = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=BASE),))
    facts = make_facts(child, make_base(), waivers=(make_waiver(**changes),))

    (asked,) = found(facts, "guardrail")
    assert (asked.status, asked.waived_by) == ("needs_review", "w1" if covered else None)


def test_of_two_waivers_the_first_that_still_runs_is_named() -> None:
    late = make_waiver("w1", expires_on=TODAY - timedelta(1))
    waivers = (make_waiver("w3"), make_waiver("w2"), late)
    facts = make_facts(make_tuned(), make_base(), waivers=waivers)

    assert {one.waived_by for one in found(facts, "guardrail")} - {None} == {"w2"}


@pytest.mark.parametrize("status", ["met", "not_applicable", "violated"])
def test_what_needs_no_leave_or_can_get_none_names_no_waiver(status: str) -> None:
    use = {"met": False, "not_applicable": None, "violated": True}[status]
    pin = "yi-1.0" if status == "not_applicable" else "cc-by-nc-4.0"
    rule = "authorisation" if status == "not_applicable" else "noncommercial"
    facts = make_facts(
        ModelFacts(id="a/b", license_pin=pin),
        use=make_use(commercial=False if use is None else use),
        waivers=(make_waiver(rule=rule),),
    )

    assert [(one.status, one.waived_by) for one in found(facts, rule)] == [(status, None)]


def test_a_duty_may_be_waived() -> None:
    facts = make_facts(
        ModelFacts(id="a/b", license="mit"),
        use=make_use(**OUT),
        waivers=(make_waiver(rule="licence_copy"),),
    )

    assert [(one.status, one.waived_by) for one in found(facts, "licence_copy")] == [
        ("unmet", "w1")
    ]


def test_a_suit_that_ended_nothing_may_be_waived_and_one_that_ended_something_not() -> None:
    clause = {
        "rights": ["patent"], "against": "anyone", "counterclaims": True, "outputs": False,
        "ends": "patent_only", "reach": "named_model", "carve_out": "none",
    }  # fmt: skip
    group = {**make_clause("litigation", **clause), "actor": "group"}
    library = make_library(
        make_licence("open-1", make_clause("litigation", **clause)), make_licence("ended-1", group)
    )
    child = ModelFacts(id=TUNED, license="open-1", parents=(ParentLink(id=BASE),))
    matter = make_matter(brought_by="affiliate", alleges_model_infringes=(TUNED, BASE))
    judged = evaluate(
        make_facts(
            child,
            ModelFacts(id=BASE, license="ended-1"),
            matters=(matter,),
            waivers=(make_waiver(rule="litigation"),),
        ),
        library,
    )

    told = {
        (one.licence, one.status, one.waived_by)
        for one in judged.findings
        if one.rule == "litigation"
    }
    assert told == {
        ("open-1", "needs_review", "w1"),
        ("ended-1", "needs_review", None),
    }


def chain_of_bases(count: int) -> Facts:
    """Give a subject under MIT over a row of models under one text, nobody measured."""
    names = [f"acme/b{at}" for at in range(count)]
    bases = [
        ModelFacts(
            id=name,
            license_pin=OCTOBER,
            parents=tuple(ParentLink(id=one) for one in names[at + 1 : at + 2]),
        )
        for at, name in enumerate(names)
    ]
    child = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=names[0]),))
    return make_facts(child, *bases)


@pytest.mark.parametrize(("count", "more"), [(1, None), (2, 1), (3, 2), (5, 4)])
def test_one_question_about_many_models_is_asked_once_with_their_number(
    count: int, more: int | None
) -> None:
    (asked,) = found(chain_of_bases(count), "guardrail")

    assert asked.model == "acme/b0"
    if more is None:
        assert "The same holds" not in asked.because
    else:
        assert asked.because.endswith(f" The same holds for {more} more.")


def test_questions_about_two_models_that_differ_are_both_asked() -> None:
    child = ModelFacts(
        id=TUNED, license="mit", parents=(ParentLink(id="x/one"), ParentLink(id="x/two"))
    )
    asked = found(
        make_facts(child, ModelFacts(id="x/one"), ModelFacts(id="x/two")), "licence_missing"
    )

    assert {one.model for one in asked} == {"x/one", "x/two"}


def test_a_duty_under_one_licence_is_owed_once_for_a_whole_lineage() -> None:
    child = ModelFacts(id=TUNED, license="apache-2.0", parents=(ParentLink(id=BASE),))
    facts = make_facts(child, ModelFacts(id=BASE, license="apache-2.0"), use=make_use(**OUT))

    (owed,) = found(facts, "licence_copy")
    assert (owed.model, "The same holds" in owed.because) == (TUNED, False)


def test_findings_stand_worst_first() -> None:
    order = ("violated", "needs_review", "unmet", "met", "not_applicable")
    facts = make_facts(
        make_tuned(EvidenceFact(kind="guardrail_retention", result="removed")),
        make_base(),
        ModelFacts(id="x/y"),
        matters=(make_matter(status="draft"),),
        use=make_use(**OUT),
    )

    places = [order.index(one.status) for one in evaluate(facts, LIBRARY).findings]
    assert places == sorted(places)
    assert len(set(places)) >= 4


def test_of_an_unknown_subject_only_that_is_told() -> None:
    facts = make_facts(subject="gone/gone")
    judged = evaluate(facts, LIBRARY)

    (asked,) = judged.findings
    assert (asked.rule, asked.status, asked.severity) == (
        "subject_unknown", "needs_review", "critical",
    )  # fmt: skip
    assert (asked.model, asked.path) == ("gone/gone", ("gone/gone",))
    assert asked.remedy
    assert (judged.subject, judged.as_of, judged.decision) == ("gone/gone", TODAY, "needs_review")
    assert (judged.binding_licences, judged.terminated) == ((), ())
    assert judged.facts_digest == facts_digest(facts)
    assert judged.catalogue_digest == LIBRARY.digest


def test_a_judgement_names_the_facts_and_the_catalogue_it_rests_on() -> None:
    facts = make_facts()
    judged = evaluate(facts, LIBRARY)

    assert (judged.subject, judged.as_of) == (TUNED, TODAY)
    assert (judged.facts_digest, judged.catalogue_digest) == (facts_digest(facts), LIBRARY.digest)


def test_ends_are_told_once_each_in_a_fixed_order() -> None:
    removed = EvidenceFact(kind="guardrail_retention", result="removed")
    matters = (make_matter(id="m2"), make_matter(id="m1", filed_on=None))
    judged = evaluate(make_facts(make_tuned(removed), make_base(), matters=matters), LIBRARY)

    told = [(one.licence, one.section, one.model, one.matter, one.breach)
            for one in judged.terminated]  # fmt: skip
    assert told == sorted(told, key=lambda one: tuple(part or "" for part in one))
    assert len(set(told)) == len(told)
    assert {one[3] for one in told} == {"m1", "m2", None}
    assert {one[2] for one in told} == {TUNED, BASE}


ALIKE = {"strength": "whole_work"}


def merge(left: dict[str, Any], right: dict[str, Any], **use: Any) -> Assessment:
    """Judge a work made from one under each of two licences."""
    library = make_library(left, right, make_licence("free-1"))
    child = ModelFacts(
        id=TUNED, license="free-1", parents=(ParentLink(id="a/left"), ParentLink(id="b/right"))
    )
    models = (
        child,
        ModelFacts(id="a/left", license=left["key"]),
        ModelFacts(id="b/right", license=right["key"]),
    )
    return evaluate(make_facts(*models, use=make_use(**use)), library)


def alike(key: str, **params: Any) -> dict[str, Any]:
    return make_licence(key, make_clause("share_alike", **{**ALIKE, **params}))


@pytest.mark.parametrize(
    ("left", "right", "use", "told"),
    [
        (alike("gnu-1"), alike("moz-1"), OUT, [("violated", "critical")]),
        (alike("gnu-1"), alike("gnu-2"), OUT, []),
        (alike("gnu-1"), alike("moz-1", strength="changed_files"), OUT, []),
        (alike("gnu-1", strength="changed_files"), alike("moz-1"), OUT, []),
        (alike("gnu-1", also_under=["moz-1"]), alike("moz-1"), OUT, []),
        (alike("gnu-1"), alike("moz-1", also_under=["gnu-1"]), OUT, []),
        (alike("gnu-1", also_under=["free-1"]), alike("moz-1"), OUT, [("violated", "critical")]),
        (alike("gnu-1"), alike("moz-1"), {"purposes": ("internal",)},
         [("not_applicable", "info")]),
        (alike("gnu-1"), alike("moz-1"), {"purposes": ("hosted_service",)},
         [("not_applicable", "info")]),
        (alike("gnu-1", network=True), alike("moz-1"), {"purposes": ("hosted_service",)},
         [("violated", "critical")]),
        (alike("gnu-1"), alike("moz-1", network=True), {"purposes": ("hosted_service",)},
         [("violated", "critical")]),
        (alike("gnu-1", network=True), alike("moz-1"), {"purposes": ("internal",)},
         [("not_applicable", "info")]),
        (alike("gnu-1"), alike("moz-1"), {"purposes": ()}, [("needs_review", "high")]),
        (alike("gnu-1"), make_licence("lim-1", make_clause("noncommercial")), OUT,
         [("needs_review", "high")]),
        (alike("gnu-1"), make_licence("lim-1", make_clause("noncommercial")),
         {"purposes": ("internal",)}, [("not_applicable", "info")]),
        (alike("gnu-1", strength="same_terms"), make_licence("lim-1", make_clause("noncommercial")),
         OUT, []),
        (alike("gnu-1"), make_licence("lim-1", make_clause("licence_copy")), OUT, []),
        (alike("gnu-1"), make_licence("gnu-2", make_clause("noncommercial")), OUT, []),
        (alike("gnu-1"), alike("moz-1", strength="same_terms"), OUT, [("violated", "critical")]),
    ],
)  # fmt: skip
def test_two_licences_that_each_want_the_whole_work_cannot_both_be_kept(
    left: dict[str, Any], right: dict[str, Any], use: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    conflicts = [
        one for one in merge(left, right, **use).findings if one.rule == "licence_conflict"
    ]

    assert [(one.status, one.severity) for one in conflicts] == told
    for one in conflicts:
        assert (one.licence, one.model, one.path) == ("gnu-1", "a/left", (TUNED, "a/left"))
        assert (one.section, one.quote) == ("1", "Words about share_alike.")
        assert bool(one.remedy) is (one.status != "not_applicable")


@pytest.mark.parametrize("status", ["second_hand", "unverified"])
def test_a_text_that_nobody_read_is_told_for_each_model_under_it(status: str) -> None:
    library = make_library(make_licence("hear-1", status=status), make_licence("free-1"))
    child = ModelFacts(id=TUNED, license="free-1", parents=(ParentLink(id=BASE),))
    judged = evaluate(make_facts(child, ModelFacts(id=BASE, license="hear-1")), library)

    asked = [
        (one.licence, one.model, one.path, one.status, one.severity)
        for one in judged.findings
        if one.rule == "licence_not_read"
    ]
    assert asked == [("hear-1", BASE, (TUNED, BASE), "needs_review", "high")]


def test_a_parent_nobody_described_is_told_of_the_first_model_that_names_it() -> None:
    links = (ParentLink(id="gone/base"), ParentLink(id=TUNED))
    facts = make_facts(
        ModelFacts(id="acme/last", license="mit", parents=links),
        ModelFacts(id=TUNED, license="mit", parents=links[:1]),
    )

    (asked,) = found(facts, "parent_unknown")
    assert (asked.model, asked.path, asked.severity) == ("acme/last", ("acme/last",), "high")


@pytest.mark.parametrize(("count", "cut"), [(3, False), (7, False), (8, True)])
def test_a_ring_of_parents_is_told_and_a_long_one_cut(count: int, cut: bool) -> None:
    names = [f"a/m{at}" for at in range(count)]
    models = [
        ModelFacts(id=name, license="mit", parents=(ParentLink(id=names[(at + 1) % count]),))
        for at, name in enumerate(names)
    ]

    (asked,) = found(make_facts(*models), "lineage_cycle")
    assert (asked.model, asked.path, asked.severity) == ("a/m0", ("a/m0",), "high")
    assert ("..." in asked.because) is cut
    assert ("a/m6 ->" in asked.because) is (count > 6)


def test_nobody_states_a_purpose_and_the_subject_is_asked() -> None:
    facts = make_facts(ModelFacts(id="a/b", license="mit"), use=make_use(purposes=()))

    (asked,) = found(facts, "use_unknown")
    assert (asked.model, asked.path, asked.severity) == ("a/b", ("a/b",), "high")


@pytest.mark.parametrize(
    ("child", "rule", "status", "severity"),
    [
        ("acme/new", "relabelled", "unmet", "medium"),
        ("house/new", "relicensed", "not_applicable", "info"),
    ],
)
def test_a_looser_label_is_told_of_the_child_with_the_licence_it_hides(
    child: str, rule: str, status: str, severity: str
) -> None:
    library = make_library(
        make_licence("strict-1", make_clause("noncommercial"), publishers=["House"]),
        make_licence("free-1"),
    )
    models = (
        ModelFacts(id=child, license="free-1", parents=(ParentLink(id="house/base"),)),
        ModelFacts(id="house/base", license="strict-1"),
    )
    told = [
        one
        for one in evaluate(make_facts(*models), library).findings
        if one.rule in ("relabelled", "relicensed")
    ]

    assert [(one.rule, one.status, one.severity) for one in told] == [(rule, status, severity)]
    assert [(one.model, one.licence, one.path) for one in told] == [(child, "strict-1", (child,))]


def test_a_label_is_looser_only_over_a_text_that_restricts() -> None:
    child = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=BASE),))
    facts = make_facts(child, ModelFacts(id=BASE, license="apache-2.0"))

    assert found(facts, "relabelled") == []


def test_a_label_is_held_against_every_licence_of_the_parent() -> None:
    child = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=BASE),))
    facts = make_facts(child, ModelFacts(id=BASE, license="apache-2.0 AND cc-by-nc-4.0"))

    assert [one.licence for one in found(facts, "relabelled")] == ["cc-by-nc-4.0"]


def test_the_question_which_version_binds_names_one_familys_versions_only() -> None:
    shared: dict[str, Any] = {"declares": {"license": ["shared"]}}
    library = make_library(
        *(make_licence(key, **shared) for key in ("house-1", "house-2", "mill-1"))
    )
    judged = evaluate(make_facts(ModelFacts(id=BASE, license="shared")), library)

    (asked,) = [one for one in judged.findings if one.rule == "version_unresolved"]
    assert "house-1, house-2." in asked.because

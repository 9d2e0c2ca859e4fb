"""What the guardrail clause makes of evidence in a lineage, and what a breach of it ends.

A reviewer who is sent to the wrong model measures the wrong one, and a breach that is told without
its words, its section or its way cannot be answered.
"""

import pytest

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import EvidenceFact, ModelFacts, ParentLink
from compliance.rules.library import bundled_library
from tests.compliance.build_facts import APRIL, BASE, JUNE, OCTOBER, TUNED, make_base, make_facts
from tests.compliance.build_licences import make_clause, make_library, make_licence

LIBRARY = bundled_library()
LAST = "acme/last"
Seen = tuple[tuple[str, str], ...]  # (result, method) of each piece of evidence
M, A = "measured", "attested"
KEPT, SAID_KEPT = ("retained", M), ("retained", A)
SWAPPED, SAID_SWAPPED = ("replaced", M), ("replaced", A)
GONE, SAID_GONE, LESS, UNSURE = ("removed", M), ("removed", A), ("reduced", M), ("unknown", M)
CONTRADICTED = (KEPT, SAID_GONE)


def seen(name: str, items: Seen) -> tuple[EvidenceFact, ...]:
    return tuple(
        EvidenceFact(
            kind="guardrail_retention", result=result, method=how, reference=f"{name} {result}"
        )
        for result, how in items
    )


def chain(own: Seen, between: Seen = (), pin: str = OCTOBER) -> tuple[ModelFacts, ...]:
    """Give a subject and a model in between, both under MIT, and a base whose text speaks."""
    return (
        ModelFacts(
            id=LAST, license="mit", parents=(ParentLink(id=TUNED),), evidence=seen("own", own)
        ),
        ModelFacts(
            id=TUNED, license="mit", parents=(ParentLink(id=BASE),), evidence=seen("mid", between)
        ),
        make_base(pin),
    )


def of_base(judged: Assessment) -> Finding:
    (found,) = [
        one
        for one in judged.findings
        if one.rule == "guardrail" and one.licence not in (None, "mit")
    ]
    return found


def judge(*models: ModelFacts, library: Library = LIBRARY) -> Finding:
    return of_base(evaluate(make_facts(*models), library))


@pytest.mark.parametrize(
    ("own", "between", "status", "severity", "told", "rests_on"),
    [
        ((KEPT,), (), "met", "info", "kept the guardrails", ("own retained",)),
        ((SWAPPED,), (), "met", "low", "is comparable", ("own replaced",)),
        ((), (), "needs_review", "high", "no evidence says", ()),
        ((), CONTRADICTED, "needs_review", "high", "contradicts itself",
         ("mid removed", "mid retained")),
        ((KEPT,), CONTRADICTED, "needs_review", "high", "contradicts itself",
         ("own retained", "mid removed", "mid retained")),
        ((SWAPPED,), CONTRADICTED, "needs_review", "high", "contradicts itself",
         ("own replaced", "mid removed", "mid retained")),
        ((KEPT,), (GONE,), "needs_review", "high", "lost its guardrails",
         ("own retained", "mid removed")),
        ((SWAPPED,), (GONE,), "needs_review", "high", "lost its guardrails",
         ("own replaced", "mid removed")),
        ((KEPT,), (LESS,), "needs_review", "high", "lost guardrails",
         ("own retained", "mid reduced")),
        ((SWAPPED,), (LESS,), "needs_review", "high", "lost guardrails",
         ("own replaced", "mid reduced")),
        ((), (KEPT,), "needs_review", "high", "only a model in between", ("mid retained",)),
        ((), (SWAPPED,), "needs_review", "high", "on another model", ("mid replaced",)),
        ((), (SAID_SWAPPED,), "needs_review", "high", "nobody measured it", ("mid replaced",)),
        ((UNSURE,), (KEPT,), "needs_review", "high", "no clear result",
         ("own unknown", "mid retained")),
        ((SAID_KEPT,), (KEPT,), "needs_review", "high", "were kept, and nobody measured",
         ("own retained", "mid retained")),
        ((SAID_KEPT,), (), "needs_review", "high", "were kept, and nobody measured",
         ("own retained",)),
        (CONTRADICTED, (KEPT,), "needs_review", "high", "contradicts itself",
         ("own removed", "own retained", "mid retained")),
        ((SWAPPED, SAID_GONE), (), "needs_review", "high", "guardrails are gone",
         ("own removed", "own replaced")),
        ((SAID_SWAPPED, KEPT), (), "needs_review", "high", "contradicts itself",
         ("own replaced", "own retained")),
        ((KEPT, SAID_KEPT), (), "met", "info", "kept the guardrails",
         ("own retained", "own retained")),
        ((SWAPPED, SAID_SWAPPED), (), "met", "low", "is comparable",
         ("own replaced", "own replaced")),
        ((KEPT,), (SWAPPED,), "met", "info", "kept the guardrails", ("own retained",)),
        ((KEPT,), (UNSURE,), "met", "info", "kept the guardrails", ("own retained",)),
        ((SWAPPED,), (KEPT,), "met", "low", "is comparable", ("own replaced",)),
        ((GONE,), (), "violated", "critical", "removed from acme/last", ("own removed",)),
        ((LESS,), (), "violated", "critical", "weakened in acme/last", ("own reduced",)),
        ((SAID_KEPT,), (GONE,), "violated", "critical", "removed from acme/tuned",
         ("mid removed",)),
        ((SAID_SWAPPED,), (LESS,), "violated", "critical", "weakened in acme/tuned",
         ("mid reduced",)),
        ((KEPT, LESS), (), "violated", "critical", "weakened in acme/last",
         ("own reduced", "own retained")),
    ],
)  # fmt: skip
def test_a_reviewer_is_told_what_is_open_and_where_it_was_seen(
    own: Seen, between: Seen, status: str, severity: str, told: str, rests_on: tuple[str, ...]
) -> None:
    found = judge(*chain(own, between))

    assert (found.status, found.severity) == (status, severity)
    assert told in found.because
    assert tuple(one.reference for one in found.evidence) == rests_on


@pytest.mark.parametrize(
    ("own", "between", "status", "rests_on"),
    [
        ((), (SWAPPED,), "violated", ("mid replaced",)),
        ((SAID_SWAPPED,), (SWAPPED,), "violated", ("own replaced",)),
        ((SWAPPED,), (), "violated", ("own replaced",)),
        ((KEPT,), (SWAPPED,), "needs_review", ("own retained", "mid replaced")),
        ((UNSURE,), (SWAPPED,), "violated", ("mid replaced",)),
    ],
)
def test_a_text_without_substitutes_is_broken_by_any_unless_a_measurement_speaks_for_the_subject(
    own: Seen, between: Seen, status: str, rests_on: tuple[str, ...]
) -> None:
    found = judge(*chain(own, between, APRIL))

    assert found.status == status
    assert tuple(one.reference for one in found.evidence) == rests_on


@pytest.mark.parametrize(
    ("left", "right", "accused"),
    [((GONE,), (GONE,), "left"), ((LESS,), (GONE,), "right"), ((), (LESS,), "right")],
    ids=["alike: the first by name", "the worse", "the only one"],
)
def test_of_two_arms_of_a_merge_the_worse_is_accused(left: Seen, right: Seen, accused: str) -> None:
    links = (ParentLink(id=BASE),)
    merge = ModelFacts(
        id=LAST, license="mit", parents=(ParentLink(id="a/right"), ParentLink(id="a/left"))
    )
    arms = (
        ModelFacts(id="a/right", license="mit", parents=links, evidence=seen("right", right)),
        ModelFacts(id="a/left", license="mit", parents=links, evidence=seen("left", left)),
    )

    found = judge(merge, *arms, make_base())
    assert f"a/{accused}" in found.because
    assert {one.reference.split()[0] for one in found.evidence} == {accused}


def test_a_breach_ends_the_licence_with_its_words_and_the_way_to_it() -> None:
    facts = make_facts(*chain((GONE,)))
    (ended,) = evaluate(facts, LIBRARY).terminated
    licence = LIBRARY.licences[OCTOBER]
    (clause,) = licence.clauses_of("guardrail")

    assert (ended.licence, ended.licence_title, ended.version) == (
        OCTOBER, licence.title, licence.version,
    )  # fmt: skip
    assert (ended.section, ended.quote) == (clause.section, clause.quote)
    assert (ended.model, ended.path) == (BASE, (LAST, TUNED, BASE))
    assert (ended.scope, ended.effective, ended.breach, ended.matter) == (
        "all", None, "guardrail", None,
    )  # fmt: skip


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("result", ["removed", "replaced"])
def test_a_breach_that_ends_nothing_by_itself_is_a_breach_all_the_same(
    ends: bool, result: str
) -> None:
    clause = make_clause("guardrail", substitute="not_allowed", acts=["bypass"], ends=ends)
    library = make_library(make_licence("house-1", clause), make_licence("mit"))
    child = ModelFacts(
        id=LAST, license="mit", parents=(ParentLink(id=BASE),), evidence=seen("own", ((result, M),))
    )
    judged = evaluate(make_facts(child, ModelFacts(id=BASE, license="house-1")), library)

    assert (of_base(judged).status, len(judged.terminated)) == ("violated", int(ends))


@pytest.mark.parametrize(
    ("pin", "way_back"), [(OCTOBER, True), (APRIL, False)], ids=["substitute", "no substitute"]
)
def test_only_a_text_that_knows_substitutes_offers_one_as_the_way_back(
    pin: str, way_back: bool
) -> None:
    found = judge(*chain((GONE,), pin=pin))

    assert "the rights end by themselves" in found.because
    assert ("substantially similar guardrail" in (found.remedy or "")) is way_back


def test_a_licence_that_its_licensor_has_to_end_is_not_called_ended() -> None:
    clause = make_clause("guardrail", substitute="not_allowed", acts=["bypass"], ends=False)
    library = make_library(make_licence("house-1", clause))
    base = ModelFacts(id=BASE, license="house-1", evidence=seen("own", (GONE,)))

    assert "the licensor may end the licence" in judge(base, library=library).because


def test_a_measurement_settles_nothing_over_a_merge_with_a_contradicted_arm() -> None:
    merge = ModelFacts(
        id=LAST,
        license="mit",
        parents=(ParentLink(id="a/right"), ParentLink(id="a/left")),
        evidence=seen("own", (KEPT,)),
    )
    arms = [
        ModelFacts(id=name, license="mit", parents=(ParentLink(id=BASE),), evidence=seen(name, at))
        for name, at in (("a/right", (SWAPPED,)), ("a/left", CONTRADICTED))
    ]

    found = judge(merge, *arms, make_base())
    assert (found.status, "contradicts itself" in found.because) == ("needs_review", True)


def test_a_base_that_was_measured_is_not_said_to_have_a_base() -> None:
    found = judge(make_base(evidence=seen("own", (KEPT,))))

    assert "itself speaks here" in found.because


def test_a_claim_about_a_base_as_published_is_pointed_at() -> None:
    found = judge(make_base(evidence=seen("own", (SAID_KEPT,))))

    assert (found.status, [one.reference for one in found.evidence]) == ("met", ["own retained"])


@pytest.mark.parametrize("result", ["removed", "reduced", "replaced"])
def test_a_loss_under_texts_without_the_clause_is_told_once_for_each_text(result: str) -> None:
    subject = ModelFacts(
        id=LAST,
        license="mit",
        parents=(ParentLink(id=TUNED), ParentLink(id=BASE)),
        evidence=seen("own", ((result, M),)),
    )
    other = ModelFacts(id=TUNED, license="mit", parents=(ParentLink(id=BASE),))
    found = evaluate(make_facts(subject, other, make_base(JUNE)), LIBRARY).findings

    told = [(one.licence, one.model, one.status, one.severity) for one in found
            if one.rule == "guardrail"]  # fmt: skip
    assert told == [
        ("mit", LAST, "not_applicable", "medium"),
        (JUNE, BASE, "not_applicable", "medium"),
    ]


@pytest.mark.parametrize("items", [(), (KEPT,), (SAID_KEPT,), (UNSURE,)])
def test_what_shows_no_loss_is_no_matter_for_a_text_without_the_clause(items: Seen) -> None:
    found = evaluate(make_facts(*chain(items, pin=JUNE)), LIBRARY).findings

    assert [one for one in found if one.rule == "guardrail"] == []


def test_a_text_that_has_the_clause_is_not_said_to_lack_it() -> None:
    found = evaluate(make_facts(*chain((GONE,))), LIBRARY).findings

    told = {(one.licence, one.status) for one in found if one.rule == "guardrail"}
    assert told == {(OCTOBER, "violated"), ("mit", "not_applicable")}

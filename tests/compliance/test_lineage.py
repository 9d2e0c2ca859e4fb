"""The lineage is walked to its end, however long, wide or circular."""

from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts, ParentLink
from compliance.rules.library import bundled_library
from compliance.rules.lineage import PATH_SHOWN, trace
from tests.compliance.build_facts import (
    APRIL,
    BASE,
    OCTOBER,
    TUNED,
    make_base,
    make_facts,
    make_tuned,
    retention,
)

LIBRARY = bundled_library()


def child(name: str, *parents: str, **changes: object) -> ModelFacts:
    links = tuple(ParentLink(id=item) for item in parents)
    return ModelFacts(id=name, parents=links, **{"license": "apache-2.0", **changes})  # type: ignore[arg-type]


def rules(*models: ModelFacts) -> set[tuple[str, str]]:
    found = evaluate(make_facts(*models), LIBRARY).findings
    return {(one.rule, one.status) for one in found}


def test_the_shortest_path_is_named() -> None:
    lineage = trace(make_facts(child("s", "a", "c"), child("a", "b"), child("b", "c"), child("c")))

    assert lineage.order == ("s", "a", "c", "b")
    assert lineage.path("c") == ("s", "c")
    assert lineage.path("b") == ("s", "a", "b")


def test_a_parent_that_nobody_described_needs_review() -> None:
    assert ("parent_unknown", "needs_review") in rules(child("s", "gone"))


def test_a_ring_is_reported_and_does_not_hang() -> None:
    lineage = trace(make_facts(child("s", "a"), child("a", "b"), child("b", "a")))

    assert lineage.cycle == ("a", "b", "a")
    assert ("lineage_cycle", "needs_review") in rules(child("s", "a"), child("a", "s"))


def test_a_model_that_is_its_own_parent_is_a_ring() -> None:
    assert trace(make_facts(child("s", "s"))).cycle == ("s", "s")


def test_two_ways_to_one_base_are_no_ring() -> None:
    assert (
        trace(make_facts(child("s", "a", "b"), child("a", "c"), child("b", "c"), child("c"))).cycle
        == ()
    )


def test_a_chain_of_twenty_thousand_models_is_judged() -> None:
    chain = [child(f"m{at}", f"m{at + 1}") for at in range(20_000)]
    assessment = evaluate(make_facts(*chain, make_base(id="m20000", pin=OCTOBER)), LIBRARY)

    deepest = assessment.binding_licences[-1]
    assert (deepest.model, deepest.licence) == ("m20000", OCTOBER)
    assert len(deepest.path) == PATH_SHOWN + 1
    assert deepest.path[0] == "m0"
    assert len(assessment.findings) < 60


def test_a_relabelled_derivative_stays_bound() -> None:
    assessment = evaluate(
        make_facts(
            child("x/r1", "meta/llama", license="mit"), child("meta/llama", license="llama3.1")
        ),
        LIBRARY,
    )

    assert [one.licence for one in assessment.binding_licences] == ["mit", "llama-3.1"]
    finding = next(one for one in assessment.findings if one.rule == "relabelled")
    assert (finding.status, finding.licence, finding.model) == ("unmet", "llama-3.1", "x/r1")


def test_a_permissive_label_over_a_permissive_parent_is_no_relabelling() -> None:
    assert not {
        one for one in rules(child("s", "a", license="mit"), child("a")) if one[0] == "relabelled"
    }


def test_another_version_of_the_same_family_is_no_relabelling() -> None:
    found = rules(make_tuned(retention("retained"), pin=OCTOBER), make_base(pin=APRIL))

    assert "relabelled" not in {rule for rule, _ in found}


def test_every_arm_of_a_merge_counts_not_only_the_shortest() -> None:
    merged = make_tuned(id="acme/merge", parents=(ParentLink(id=BASE), ParentLink(id=TUNED)))
    tuned = make_tuned(retention("removed"))
    assessment = evaluate(make_facts(merged, tuned, make_base()), LIBRARY)

    assert assessment.decision == "deny"


def test_a_training_set_under_a_noncommercial_licence_goes_to_a_person() -> None:
    from compliance.rules.facts import DatasetFact

    data = (DatasetFact(id="x/d", license="cc-by-nc-4.0"),)
    assert ("dataset_noncommercial", "needs_review") in rules(child("s", datasets=data))


def test_a_training_set_without_a_licence_goes_to_a_person() -> None:
    from compliance.rules.facts import DatasetFact

    assert ("dataset_licence_unknown", "needs_review") in rules(
        child("s", datasets=(DatasetFact(id="x/d"),))
    )
    assert rules(child("s", datasets=(DatasetFact(id="x/d", use="evaluation"),))) == rules(
        child("s")
    )

"""One judgement for each sort of model says what a judgement of each model would."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.rules.evaluate import evaluate
from compliance.rules.facts import (
    DatasetFact,
    EvidenceFact,
    Facts,
    Matter,
    ModelFacts,
    ParentLink,
)
from compliance.rules.inventory import Inventory
from compliance.rules.library import bundled_library
from compliance.rules.survey import EXACT_DEPTH, Outcome, Survey, outcome_of
from tests.compliance.build_facts import TODAY, make_matter, make_use

LIBRARY = bundled_library()
LICENCES = (None, "mit", "apache-2.0", "llama3.1", "cc-by-nc-4.0", "openmdw-1.1", "other", "wtf")
NAMES = (None, "nvidia-open-model-license", "qwen")
RELATIONS = ("finetune", "quantized", "distilled", "merge")
EVIDENCE = (
    (),
    (EvidenceFact(kind="guardrail_retention", result="retained", method="measured"),),
    (EvidenceFact(kind="guardrail_retention", result="removed", method="measured"),),
)
OWNERS = ("nvidia", "meta-llama", "acme")


@st.composite
def registries(draw: st.DrawFn, rings: bool = False) -> list[ModelFacts]:
    count = draw(st.integers(1, 9))
    prefixes = st.sampled_from(("Llama-", "cosmos-", ""))
    ids = [f"{draw(st.sampled_from(OWNERS))}/{draw(prefixes)}m{n}" for n in range(count)]
    models = []
    for number, name in enumerate(ids):
        known = ids if rings else ids[:number]
        links = draw(
            st.lists(
                st.builds(
                    ParentLink,
                    id=st.sampled_from([*known, "gone/x"]),
                    relation=st.sampled_from(RELATIONS),
                ),
                max_size=3,
            )
        )
        models.append(
            ModelFacts(
                id=name,
                license=draw(st.sampled_from(LICENCES)),
                license_name=draw(st.sampled_from(NAMES)),
                parents=tuple(links),
                evidence=draw(st.sampled_from(EVIDENCE)),
                datasets=draw(
                    st.sampled_from(((), (DatasetFact(id="d/x", license="cc-by-nc-4.0"),)))
                ),
            )
        )
    return models


@st.composite
def suits(draw: st.DrawFn) -> tuple[int, str, str]:
    return (
        draw(st.integers(0, 8)),
        draw(st.sampled_from(("patent", "copyright", "other"))),
        draw(st.sampled_from(("draft", "filed"))),
    )


def survey_of(models: Iterable[ModelFacts], matters: tuple[Matter, ...] = ()) -> Survey:
    use = make_use(purposes=("hosted_service", "redistribution"), jurisdictions=("DE",))
    survey = Survey(Inventory(models), LIBRARY, use=use, as_of=TODAY, matters=matters)
    survey.run()
    return survey


def one_by_one(survey: Survey) -> dict[str, Outcome]:
    """Judge each model by itself, over every model: nothing is shared."""
    inventory = survey.inventory
    told = [n for n in range(len(inventory)) if inventory.described(n)]
    models = tuple(inventory.facts(n) for n in told)
    return {
        inventory.ids[n]: outcome_of(
            evaluate(
                Facts(
                    models=models,
                    subject=inventory.ids[n],
                    as_of=survey.as_of,
                    use=survey.use,
                    matters=survey.matters,
                ),
                LIBRARY,
            )
        )
        for n in told
    }


def surveyed(survey: Survey) -> dict[str, Outcome]:
    inventory = survey.inventory
    return {
        inventory.ids[n]: survey.outcome(n) for n in range(len(inventory)) if inventory.described(n)
    }


@settings(max_examples=150, deadline=None)
@given(registries(), st.lists(suits(), max_size=2))
def test_a_survey_says_what_each_judgement_says(
    models: list[ModelFacts], filed: list[tuple[int, str, str]]
) -> None:
    matters = tuple(
        make_matter(
            id=f"m{n}",
            kind=kind,
            status=status,
            alleges_model_infringes=(models[at % len(models)].id,),
        )
        for n, (at, kind, status) in enumerate(filed)
    )

    survey = survey_of(models, matters)
    assert surveyed(survey) == one_by_one(survey)


@settings(max_examples=50, deadline=None)
@given(registries(rings=True))
def test_so_it_does_when_models_are_their_own_ancestors(models: list[ModelFacts]) -> None:
    survey = survey_of(models)

    assert surveyed(survey) == one_by_one(survey)


@settings(max_examples=60, deadline=None)
@given(registries(), st.integers(0, 8), st.sampled_from(LICENCES))
def test_a_change_judged_anew_says_what_a_new_survey_says(
    models: list[ModelFacts], at: int, licence: str | None
) -> None:
    survey = survey_of(models)
    changed = survey.inventory.facts(survey.inventory.numbers[models[at % len(models)].id])
    told = ModelFacts(id=changed.id, license=licence, parents=changed.parents)

    survey.touch([survey.inventory.redeclare(told)])
    assert surveyed(survey) == surveyed(
        survey_of([told if one.id == told.id else one for one in models])
    )


def chain(length: int, licence: Callable[[int], str]) -> list[ModelFacts]:
    return [
        ModelFacts(
            id=f"o/m{n}",
            license=licence(n),
            parents=(ParentLink(id=f"o/m{n - 1}"),) if n else (),
        )
        for n in range(length)
    ]


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_chain_deeper_than_sorts_go_is_judged_the_same(period: int) -> None:
    licences = ("mit", "apache-2.0", "cc-by-nc-4.0")
    survey = survey_of(chain(EXACT_DEPTH * 2, lambda n: licences[n % period]))

    assert surveyed(survey) == one_by_one(survey)


def test_a_chain_of_a_hundred_thousand_is_few_sorts() -> None:
    survey = survey_of(chain(100_000, lambda n: ("mit", "apache-2.0")[n % 2]))

    assert survey.sorts_judged < 4 * EXACT_DEPTH
    assert survey.outcome(99_999).decision == "allow_with_conditions"


def test_a_change_touches_what_was_made_from_it_and_nothing_else() -> None:
    family = chain(20, lambda n: "mit")
    others = [ModelFacts(id=f"x/m{n}", license="mit") for n in range(50)]
    survey = survey_of([*family, *others])
    closed = ModelFacts(id="o/m10", license="cc-by-nc-4.0", parents=family[10].parents)

    touched = survey.touch([survey.inventory.redeclare(closed)])
    names = [survey.inventory.ids[n] for n in touched]
    assert sorted(names) == sorted(f"o/m{n}" for n in range(10, 20))
    assert {survey.outcome(n).decision for n in touched} == {"deny"}
    assert survey.outcome(survey.inventory.numbers["o/m9"]).decision != "deny"


def test_a_model_that_nobody_described_has_no_outcome() -> None:
    survey = survey_of([ModelFacts(id="a/b", license="mit", parents=(ParentLink(id="gone/x"),))])

    assert survey.outcome(0).decision == "needs_review"
    with pytest.raises(KeyError):
        survey.outcome(1)

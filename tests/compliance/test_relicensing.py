"""A licensor may give its own work other terms; nobody else may."""

import pytest

from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts, ParentLink
from tests.compliance.build_facts import make_facts
from tests.compliance.build_licences import make_clause, make_library, make_licence

TERMS = make_library(
    make_licence("strict-1", make_clause("noncommercial"), publishers=["House"]),
    make_licence("free-1"),
)


def model(name: str, licence: str | None, *parents: str, **more: str) -> ModelFacts:
    links = tuple(ParentLink(id=parent) for parent in parents)
    return ModelFacts(id=name, license=licence, parents=links, **more)


def bound_by(*models: ModelFacts) -> set[str]:
    judged = evaluate(make_facts(*models), TERMS)
    return {one.licence for one in judged.binding_licences}


def test_the_licensors_own_looser_terms_release_what_is_made_from_it() -> None:
    base = model("house/base", "strict-1")
    freed = model("house/new", "free-1", "house/base")

    assert bound_by(freed, base) == {"free-1"}
    assert bound_by(model("acme/tuned", "free-1", "house/new"), freed, base) == {"free-1"}
    judged = evaluate(make_facts(freed, base), TERMS)
    assert [item.rule for item in judged.findings if item.status != "met"] == ["relicensed"]


@pytest.mark.parametrize(
    "child",
    [
        model("acme/new", "free-1", "house/base"),
        model("house/new", None, "house/base"),
        model("house/new", "free-1", "house/base", publisher=""),
        model("house/new", "free-1", "house/base", publisher="acme"),
    ],
    ids=["a stranger", "no terms stated", "an upload nobody vouches for", "a borrowed name"],
)
def test_nobody_else_releases_it(child: ModelFacts) -> None:
    assert "strict-1" in bound_by(child, model("house/base", "strict-1"))


def test_a_way_round_the_new_terms_brings_the_old_ones_along() -> None:
    base = model("house/base", "strict-1")
    freed = model("house/new", "free-1", "house/base")
    merge = model("acme/merge", "free-1", "house/new", "house/base")

    assert "strict-1" in bound_by(merge, freed, base)


def test_what_a_stranger_made_in_between_stays_bound() -> None:
    base = model("house/base", "strict-1")
    stranger = model("acme/tuned", "strict-1", "house/base")
    back = model("house/again", "free-1", "acme/tuned")

    judged = evaluate(make_facts(back, stranger, base), TERMS)
    assert {(one.licence, one.model) for one in judged.binding_licences} == {
        ("free-1", "house/again"),
        ("strict-1", "acme/tuned"),
    }

"""What a text says of outputs: who may train on them, who may use them."""

from typing import Any

import pytest

from compliance.rules.facts import ModelFacts
from tests.compliance.build_licences import (
    make_clause,
    make_library,
    make_licence,
    make_pair,
    status_of,
    with_evidence,
)

TRAINS = {"purposes": ("training_other_models",)}


def catalogue(kind: str, **params: Any) -> Any:
    return make_library(
        make_licence("house-1", make_clause(kind, **params)), make_licence("free-1")
    )


@pytest.mark.parametrize(
    ("forbids", "use", "status"),
    [
        ("language_models", TRAINS, "violated"),
        ("any_model", TRAINS, "violated"),
        ("competing_models", TRAINS, "needs_review"),
        ("any_model", {"purposes": ("internal",)}, "met"),
        ("any_model", {"purposes": ()}, "needs_review"),
    ],
)
def test_training_other_models(forbids: str, use: dict[str, Any], status: str) -> None:
    model = ModelFacts(id="a/b", license="house-1")

    assert (
        status_of(catalogue("output_training", forbids=forbids), "output_training", model, use=use)
        == status
    )


def test_leave_allows_training() -> None:
    leave = with_evidence("licensor_permission", "granted")
    model = ModelFacts(id="a/b", license="house-1", evidence=leave)
    library = catalogue("output_training", forbids="any_model")

    assert status_of(library, "output_training", model, use=TRAINS) == "met"


@pytest.mark.parametrize(
    ("student_licence", "relation", "status"),
    [
        ("free-1", "distilled", "needs_review"),
        ("house-1", "distilled", "met"),
        ("free-1", "finetune", "met"),
    ],
)
def test_a_student_of_a_text_that_forbids_it(
    student_licence: str, relation: str, status: str
) -> None:
    library = catalogue("output_training", forbids="language_models")
    pair = make_pair("house-1", student_licence, relation)

    assert status_of(library, "output_training", *pair) == status


@pytest.mark.parametrize(
    ("limit", "purposes", "commercial", "status"),
    [
        ("noncommercial", ("internal",), True, "violated"),
        ("noncommercial", ("internal",), False, "met"),
        ("noncommercial", ("internal",), None, "needs_review"),
        ("research", ("research",), False, "met"),
        ("research", ("internal",), False, "needs_review"),
        ("acceptable_use", ("internal",), True, "not_applicable"),
    ],
)
def test_use_of_outputs(
    limit: str, purposes: tuple[str, ...], commercial: bool | None, status: str
) -> None:
    model = ModelFacts(id="a/b", license="house-1")
    use = {"purposes": purposes, "commercial": commercial}

    assert status_of(catalogue("output_use", limit=limit), "output_use", model, use=use) == status


def test_a_student_is_bound_where_the_text_calls_it_a_derivative() -> None:
    library = catalogue("output_reach", output_trained_is_derivative=True)

    pair = make_pair("house-1", "free-1", "distilled")
    assert status_of(library, "output_reach", *pair) == "not_applicable"


def test_leave_allows_commercial_use_of_outputs() -> None:
    leave = with_evidence("licensor_permission", "granted")
    model = ModelFacts(id="a/b", license="house-1", evidence=leave)
    library = catalogue("output_use", limit="research")

    assert status_of(library, "output_use", model, use={"commercial": True}) == "met"

"""Clauses that leave places out."""

from typing import Any

import pytest

from compliance.rules.facts import ModelFacts
from compliance.rules.territory import places
from tests.compliance.build_licences import make_clause, make_library, make_licence, status_of


def judge(use: dict[str, Any], modalities: tuple[str, ...] = (), **params: Any) -> str:
    given = {"excluded": ["EU", "UK", "KR"], "measured_by": "use", **params}
    catalogue = make_library(make_licence("house-1", make_clause("territory", **given)))
    model = ModelFacts(id="a/b", license="house-1", modalities=modalities)
    return status_of(catalogue, "territory", model, use=use)


@pytest.mark.parametrize(
    ("jurisdictions", "status"),
    [
        (("US",), "met"),
        (("US", "DE"), "violated"),
        (("GB",), "violated"),
        (("kr",), "violated"),
        (("EU",), "violated"),
        (("DE-BY",), "violated"),
        ((), "needs_review"),
    ],
)
def test_where_it_is_used(jurisdictions: tuple[str, ...], status: str) -> None:
    assert judge({"jurisdictions": jurisdictions}) == status


@pytest.mark.parametrize(
    ("home", "jurisdictions", "status"),
    [
        ("US", ("DE",), "met"),
        ("FR", ("US",), "violated"),
        (None, ("DE",), "needs_review"),
        (None, ("US",), "met"),
        (None, (), "needs_review"),
    ],
)
def test_where_the_licensee_sits(
    home: str | None, jurisdictions: tuple[str, ...], status: str
) -> None:
    use = {"licensee_home": home, "jurisdictions": jurisdictions}

    assert judge(use, measured_by="licensee_home") == status


@pytest.mark.parametrize(
    ("modalities", "status"),
    [(("text",), "not_applicable"), (("text", "image"), "violated"), ((), "needs_review")],
)
def test_a_place_left_out_for_multimodal_models_only(
    modalities: tuple[str, ...], status: str
) -> None:
    assert judge({"jurisdictions": ("DE",)}, modalities, only_modality="image") == status


def test_the_union_is_its_27_members() -> None:
    assert len(places(["EU"])) == 27
    assert places(["EL", "UK"]) == {"GR", "GB"}

"""What a model was trained on: limits go to a person, and free data to nobody."""

import pytest

from compliance.rules.facts import DatasetFact, ModelFacts
from compliance.rules.library import bundled_library
from tests.compliance.build_licences import found_under, make_library, make_licence

LIBRARY = bundled_library()
OUT = ("redistribution",)


def found(licence: str | None, rule: str, **use: object) -> list[str]:
    data = (DatasetFact(id="d/x", license=licence),)
    model = ModelFacts(id="a/b", license="mit", datasets=data)
    return [one.status for one in found_under(LIBRARY, rule, model, use=use)]


@pytest.mark.parametrize(
    "licence",
    [
        "cc0-1.0", "cc-by-4.0", "odc-by", "pddl", "mit", "cdla-permissive-2.0", "c-uda",
        "cdla-sharing-1.0", "public-domain",
    ],
)  # fmt: skip
def test_data_that_asks_for_attribution_at_most_brings_no_question(licence: str) -> None:
    rules = ("dataset_noncommercial", "dataset_limit", "dataset_terms", "dataset_licence_unknown")

    assert [found(licence, rule, purposes=OUT) for rule in rules] == [[], [], [], []]


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"])
@pytest.mark.parametrize(
    ("commercial", "statuses"), [(True, ["needs_review"]), (None, ["needs_review"]), (False, [])]
)
def test_noncommercial_data(licence: str, commercial: bool | None, statuses: list[str]) -> None:
    assert found(licence, "dataset_noncommercial", commercial=commercial) == statuses


@pytest.mark.parametrize("licence", ["cc-by-sa-4.0", "odbl", "cc-by-nd-4.0"])
@pytest.mark.parametrize(
    ("purposes", "statuses"), [(OUT, ["needs_review"]), (("internal",), []), ((), ["needs_review"])]
)
def test_terms_that_bind_what_goes_out(
    licence: str, purposes: tuple[str, ...], statuses: list[str]
) -> None:
    assert found(licence, "dataset_limit", purposes=purposes) == statuses


def test_a_limit_quotes_its_clause() -> None:
    data = (DatasetFact(id="d/x", license="cc-by-nc-4.0"),)
    model = ModelFacts(id="a/b", license="mit", datasets=data)

    (finding,) = found_under(LIBRARY, "dataset_noncommercial", model)
    assert (finding.licence, finding.section) == ("cc-by-nc-4.0", "2(a)(1)")
    assert "NonCommercial purposes only" in (finding.quote or "")


@pytest.mark.parametrize("licence", [None, "", "no-such-licence"])
def test_data_whose_licence_nobody_knows(licence: str | None) -> None:
    assert found(licence, "dataset_licence_unknown") == ["needs_review"]


def test_a_data_sets_licence_may_be_told_by_its_name() -> None:
    name = "nvidia-data-agreement-for-model-training"

    assert found(name, "dataset_licence_unknown") == []
    assert found(name, "dataset_terms") == ["needs_review"]


def test_data_that_was_not_trained_on_asks_nothing() -> None:
    data = (DatasetFact(id="d/x", license="cc-by-nc-4.0", use="evaluation"),)
    model = ModelFacts(id="a/b", license="free-1", datasets=data)

    library = make_library(make_licence("free-1"))
    assert found_under(library, "dataset_noncommercial", model) == []

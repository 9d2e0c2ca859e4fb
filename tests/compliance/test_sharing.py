"""The terms under which something goes out, and terms that cannot all be kept."""

from typing import Any

import pytest

from compliance.rules.facts import ModelFacts, ParentLink
from tests.compliance.build_licences import (
    found_under,
    make_clause,
    make_library,
    make_licence,
    make_pair,
    status_of,
    with_evidence,
)

OUT = {"purposes": ("redistribution",)}
HOSTED = {"purposes": ("hosted_service",)}
ALIKE = {"strength": "whole_work"}


def library(*clauses: dict[str, Any]) -> Any:
    return make_library(
        make_licence("house-1", *clauses),
        make_licence("house-2"),
        make_licence("free-1"),
        make_licence("other-1", make_clause("share_alike", **ALIKE)),
        make_licence("limits-1", make_clause("noncommercial")),
    )


@pytest.mark.parametrize(
    ("child", "use", "status"),
    [
        ("house-1", OUT, "met"),
        ("house-2", OUT, "met"),
        ("free-1", OUT, "unmet"),
        (None, OUT, "unmet"),
        ("free-1", HOSTED, "not_applicable"),
        ("free-1", {"purposes": ("internal",)}, "not_applicable"),
        ("free-1", {"purposes": ()}, "unmet"),
    ],
)
def test_share_alike(child: str | None, use: dict[str, Any], status: str) -> None:
    terms = library(make_clause("share_alike", **ALIKE))

    assert status_of(terms, "share_alike", *make_pair("house-1", child), use=use) == status


def test_share_alike_under_another_licence_that_the_text_allows() -> None:
    terms = library(make_clause("share_alike", strength="same_terms", also_under=["free-1"]))

    assert status_of(terms, "share_alike", *make_pair("house-1", "free-1"), use=OUT) == "met"


def test_a_network_clause_reaches_a_hosted_service() -> None:
    terms = library(make_clause("share_alike", **ALIKE, network=True))

    pair = make_pair("house-1", "free-1")
    assert status_of(terms, "share_alike", *pair, use=HOSTED) == "unmet"


@pytest.mark.parametrize(("offered", "status"), [(False, "needs_review"), (True, "met")])
def test_what_the_source_of_weights_is_a_person_says(offered: bool, status: str) -> None:
    terms = library(make_clause("share_alike", **ALIKE, source=True))
    evidence = with_evidence("source_offered") if offered else ()

    pair = make_pair("house-1", "house-1", evidence=evidence)
    assert status_of(terms, "share_alike", *pair, use=OUT) == status


def test_what_goes_out_as_received_needs_no_other_terms() -> None:
    terms = library(make_clause("share_alike", **ALIKE))

    model = ModelFacts(id="a/b", license="house-1")
    assert status_of(terms, "share_alike", model, use=OUT) == "not_applicable"


@pytest.mark.parametrize(
    ("relation", "use", "status"),
    [
        ("finetune", OUT, "violated"),
        ("quantized", OUT, "needs_review"),
        ("finetune", {"purposes": ("internal",)}, "met"),
    ],
)
def test_no_derivatives(relation: str, use: dict[str, Any], status: str) -> None:
    terms = library(make_clause("no_derivatives", sharing_only=True))

    pair = make_pair("house-1", "house-1", relation)
    assert status_of(terms, "no_derivatives", *pair, use=use) == status


@pytest.mark.parametrize(
    ("hosting", "use", "status"),
    [(True, HOSTED, "unmet"), (False, HOSTED, "not_applicable"), (False, OUT, "unmet")],
)
def test_hosting_is_distribution_where_the_text_says_so(
    hosting: bool, use: dict[str, Any], status: str
) -> None:
    counts = [make_clause("hosting_counts")] if hosting else []
    terms = library(make_clause("licence_copy"), *counts)

    model = ModelFacts(id="a/b", license="house-1")
    assert status_of(terms, "licence_copy", model, use=use) == status


@pytest.mark.parametrize(
    ("kind", "evidence", "params"),
    [
        ("pass_through", "terms_passed_on", {"what": "use_restrictions"}),
        ("documentation", "documentation_kept", {}),
        ("citation", "cited", {}),
    ],
)
def test_a_duty_that_a_person_confirms(kind: str, evidence: str, params: dict[str, Any]) -> None:
    terms = library(make_clause(kind, **params))
    bare = ModelFacts(id="a/b", license="house-1")
    done = ModelFacts(id="a/b", license="house-1", evidence=with_evidence(evidence))
    lost = ModelFacts(id="a/b", license="house-1", evidence=with_evidence(evidence, "missing"))

    found = [status_of(terms, kind, model, use=OUT) for model in (bare, done, lost)]
    assert found == ["unmet", "met", "unmet"]


def merge(*parents: str, child: str = "house-1") -> list[ModelFacts]:
    links = tuple(ParentLink(id=f"p/{name}", relation="merge") for name in parents)
    merged = ModelFacts(id="acme/merge", license=child, parents=links)
    return [merged, *(ModelFacts(id=f"p/{name}", license=name) for name in parents)]


@pytest.mark.parametrize(
    ("parents", "use", "statuses"),
    [
        (("house-1", "other-1"), OUT, ["violated"]),
        (("house-1", "other-1"), {"purposes": ("internal",)}, ["not_applicable"]),
        (("house-1", "limits-1"), OUT, ["needs_review"]),
        (("house-1", "house-2"), OUT, []),
        (("house-1", "free-1"), OUT, []),
    ],
)
def test_terms_that_cannot_all_be_kept(
    parents: tuple[str, ...], use: dict[str, Any], statuses: list[str]
) -> None:
    terms = library(make_clause("share_alike", **ALIKE))

    found = found_under(terms, "licence_conflict", *merge(*parents), use=use)
    assert [item.status for item in found] == statuses


@pytest.mark.parametrize(
    ("use", "status"), [(OUT, "violated"), (HOSTED, "met"), ({"purposes": ()}, "needs_review")]
)
def test_a_text_that_lets_nothing_be_passed_on(use: dict[str, Any], status: str) -> None:
    terms = library(make_clause("no_redistribution"))

    model = ModelFacts(id="a/b", license="house-1")
    assert status_of(terms, "no_redistribution", model, use=use) == status


def test_leave_to_pass_it_on() -> None:
    terms = library(make_clause("no_redistribution"))
    leave = with_evidence("licensor_permission", "granted")

    model = ModelFacts(id="a/b", license="house-1", evidence=leave)
    assert status_of(terms, "no_redistribution", model, use=OUT) == "met"


@pytest.mark.parametrize(("use", "status"), [(HOSTED, "not_applicable"), (OUT, "unmet")])
def test_a_notice_that_a_hosted_service_does_not_owe(use: dict[str, Any], status: str) -> None:
    notice = make_clause("notice_file", text="Words", except_hosted=True)
    terms = library(make_clause("hosting_counts"), notice)

    model = ModelFacts(id="a/b", license="house-1")
    assert status_of(terms, "notice_file", model, use=use) == status


@pytest.mark.parametrize(
    ("commercial", "status"), [(True, "unmet"), (None, "unmet"), (False, "not_applicable")]
)
def test_words_owed_for_commercial_use_only(commercial: bool | None, status: str) -> None:
    badge = make_clause("badge", any_of=["Words"], when="made_available", commercial_only=True)
    model = ModelFacts(id="a/b", license="house-1")

    use = {**HOSTED, "commercial": commercial}
    assert status_of(library(badge), "badge", model, use=use) == status

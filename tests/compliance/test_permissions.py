"""Clauses that limit what the use may be, or ask for leave first."""

from typing import Any

import pytest

from compliance.rules.facts import ModelFacts
from tests.compliance.build_licences import (
    make_clause,
    make_library,
    make_licence,
    status_of,
    with_evidence,
)


def judge(kind: str, params: dict[str, Any], use: dict[str, Any], **model: Any) -> str:
    catalogue = make_library(make_licence("house-1", make_clause(kind, **params)))
    return status_of(catalogue, kind, ModelFacts(id="a/b", license="house-1", **model), use=use)


@pytest.mark.parametrize(
    ("purposes", "commercial", "status"),
    [
        (("research",), False, "met"),
        (("research", "redistribution"), False, "met"),
        (("research",), True, "violated"),
        (("research",), None, "needs_review"),
        (("internal",), False, "needs_review"),
        (("hosted_service",), False, "violated"),
        ((), False, "needs_review"),
    ],
)
def test_research_only(purposes: tuple[str, ...], commercial: bool | None, status: str) -> None:
    use = {"purposes": purposes, "commercial": commercial}

    assert judge("research_only", {"excludes": ["hosted_service"]}, use) == status


@pytest.mark.parametrize(
    ("purposes", "status"),
    [
        (("research",), "met"),
        (("internal",), "needs_review"),
        (("hosted_service",), "violated"),
        ((), "needs_review"),
    ],
)
def test_a_text_that_keeps_production_back(purposes: tuple[str, ...], status: str) -> None:
    assert judge("nonproduction", {}, {"purposes": purposes}) == status


def test_the_licensors_leave_allows_production() -> None:
    leave = with_evidence("licensor_permission", "granted")

    assert judge("nonproduction", {}, {"purposes": ("hosted_service",)}, evidence=leave) == "met"


@pytest.mark.parametrize(
    ("commercial", "leave", "status"),
    [
        (True, None, "violated"),
        (True, "refused", "violated"),
        (True, "granted", "met"),
        (None, "granted", "needs_review"),
        (False, None, "not_applicable"),
    ],
)
def test_leave_in_writing(commercial: bool | None, leave: str | None, status: str) -> None:
    evidence = with_evidence("licensor_permission", leave) if leave else ()
    use = {"commercial": commercial}

    assert judge("authorisation", {"commercial_only": True}, use, evidence=evidence) == status


@pytest.mark.parametrize(
    ("result", "status"), [(None, "unmet"), ("unknown", "unmet"), ("confirmed", "met")]
)
def test_a_registration(result: str | None, status: str) -> None:
    evidence = with_evidence("registered", result) if result else ()

    assert judge("registration", {}, {}, evidence=evidence) == status

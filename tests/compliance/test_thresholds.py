"""Limits on users and revenue, and what each text asks for above them."""

from typing import Any

import pytest

from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts
from compliance.rules.thresholds import month_before
from tests.compliance.build_facts import make_facts, make_use
from tests.compliance.build_licences import (
    make_clause,
    make_library,
    make_licence,
    status_of,
    with_evidence,
)

MODEL = ModelFacts(id="a/b", license="house-1")


def judge(kind: str, params: dict[str, Any], model: ModelFacts = MODEL, **use: Any) -> str:
    catalogue = make_library(make_licence("house-1", make_clause(kind, **params)))
    return status_of(catalogue, kind, model, use=use)


@pytest.mark.parametrize(
    ("past", "status"), [(700, "met"), (701, "violated")], ids=["at the limit", "one above"]
)
def test_the_month_that_the_text_counts_decides_not_today(past: int, status: str) -> None:
    params = {"limit": 700, "counted_on": "2024-07-23"}
    months = (("2024-05", 9999), ("2024-06", past))

    found = judge(
        "user_threshold", params, monthly_active_users=5, past_monthly_active_users=months
    )
    assert found == status


def test_todays_users_stand_in_for_a_month_that_nobody_stated() -> None:
    params = {"limit": 700, "counted_on": "2024-07-23"}

    assert judge("user_threshold", params, monthly_active_users=701) == "violated"
    assert judge("user_threshold", params, monthly_active_users=None) == "needs_review"


@pytest.mark.parametrize(
    ("day", "month"),
    [("2024-07-23", "2024-06"), ("2024-01-05", "2023-12"), ("2024-03", "2024-02"), ("July", None)],
)
def test_the_month_before(day: str, month: str | None) -> None:
    assert month_before(day) == month


@pytest.mark.parametrize(
    ("year", "month", "status"),
    [
        (20, None, "met"),
        (21, None, "needs_review"),
        (240, 20, "met"),
        (240, 21, "violated"),
        (None, None, "needs_review"),
    ],
)
def test_a_monthly_revenue(year: int | None, month: int | None, status: str) -> None:
    params = {"limit_usd": 20, "period": "month"}

    found = judge("revenue_threshold", params, annual_revenue_usd=year, monthly_revenue_usd=month)
    assert found == status


@pytest.mark.parametrize(
    ("purposes", "result", "status"),
    [
        (("hosted_service",), None, "unmet"),
        (("hosted_service",), "confirmed", "met"),
        (("internal",), None, "not_applicable"),
    ],
)
def test_words_owed_above_a_limit(
    purposes: tuple[str, ...], result: str | None, status: str
) -> None:
    evidence = with_evidence("badge_shown", result) if result else ()
    model = ModelFacts(id="a/b", license="house-1", evidence=evidence)
    params = {"limit": 100, "effect": "badge", "badge": "Kimi K2"}

    assert (
        judge("user_threshold", params, model, purposes=purposes, monthly_active_users=101)
        == status
    )


def test_a_text_that_ends_above_a_limit_is_reported_as_ended() -> None:
    clause = make_clause("revenue_threshold", limit_usd=100, effect="end")
    facts = make_facts(MODEL, use=make_use(annual_revenue_usd=101))

    judged = evaluate(facts, make_library(make_licence("house-1", clause)))
    assert [(one.breach, one.scope) for one in judged.terminated] == [("revenue_threshold", "all")]
    assert judged.decision == "deny"


@pytest.mark.parametrize(
    ("commercial", "users", "status"),
    [(None, 101, "needs_review"), (None, 100, "met"), (True, 101, "violated")],
)
def test_a_limit_for_commercial_use_asks_whether_the_use_is(
    commercial: bool | None, users: int, status: str
) -> None:
    params = {"limit": 100, "commercial_only": True}

    found = judge("user_threshold", params, commercial=commercial, monthly_active_users=users)
    assert found == status

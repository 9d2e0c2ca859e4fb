"""Check the hint that goes out when a standing ends, and who is told when it cannot."""

import logging
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from compliance.rules.assessment import Termination
from compliance.services import hints
from compliance.services.standing import cause_of

ENDED = Termination(
    licence="some-licence",
    licence_title="Some Licence",
    version="2025-10-24",
    section="2.1",
    quote="the rights end",
    model="org/base",
    path=("org/base",),
    scope="all",
    effective=date(2026, 3, 1),
    matter="ACME-1",
)


def test_the_cause_is_the_whole_451_problem() -> None:
    matter: Any = SimpleNamespace(pk="m-1", reference="ACME-1", filed_on=date(2026, 3, 2))

    assert cause_of(ENDED, matter) == {
        "type": "https://lictor.dev/problems/licence-ended",
        "title": "Unavailable for legal reasons",
        "status": 451,
        "detail": (
            "The Some Licence of 2025-10-24 for org/base ended on 2026-03-01 by section 2.1, "
            "because this organisation filed ACME-1."
        ),
        "code": "licence_ended",
        "licence": "some-licence",
        "licence_title": "Some Licence",
        "version": "2025-10-24",
        "section": "2.1",
        "quote": "the rights end",
        "matter": "m-1",
        "matter_reference": "ACME-1",
        "effective": "2026-03-01",
        "model": "org/base",
    }


@pytest.mark.django_db
def test_a_hint_goes_to_the_channel_only_after_the_commit(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(
        redis.Redis, "publish", lambda self, channel, message: sent.append((channel, message))
    )

    with django_capture_on_commit_callbacks(execute=True):
        hints.hint_on_commit("standing")
        assert sent == []

    assert sent == [("lictor.hints", "standing")]


@pytest.mark.django_db
def test_a_dead_broker_costs_a_log_line_and_nothing_else(
    settings: Any, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with (
        caplog.at_level(logging.WARNING),
        django_capture_on_commit_callbacks(execute=True),
    ):
        hints.hint_on_commit("standing")

    assert "no hint sent" in caplog.text

"""The pages of guards: who sees and does what, and what a page says of a guard."""

import json
from pathlib import Path

import pytest
from django.urls import reverse

from compliance.models import EvidenceJob, Guard
from compliance.services import guards
from registry.models import Checkpoint
from tests.build import make_approval, make_endpoint
from tests.compliance.building import Cast, make_cast
from tests.compliance.test_guards import DOCUMENT, KEPT, LOST, child, measured
from tests.dashboard.test_pages import browser

__all__ = ["child"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("blobs")]


@pytest.fixture
def cast(keys: Path) -> Cast:
    return make_cast()


@pytest.fixture
def guard(cast: Cast) -> Guard:
    return guards.register(cast.organisation, document=DOCUMENT, actor=cast.security)


def page(cast: Cast, name: str, *args: object) -> str:
    answer = browser(cast.security).get(reverse(f"dashboard:{name}", args=args))
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_guard_is_registered_on_its_page(cast: Cast) -> None:
    url = reverse("dashboard:register-guard")
    answer = browser(cast.security).post(url, {"document": json.dumps(DOCUMENT)}, follow=True)

    assert "demo-rules is registered" in answer.content.decode()
    assert Guard.objects.get().name == "demo-rules"


@pytest.mark.parametrize("text", ["{", "[]", json.dumps(DOCUMENT | {"name": "No Good"})])
def test_what_is_wrong_is_told_and_what_was_typed_is_kept(cast: Cast, text: str) -> None:
    answer = browser(cast.security).post(reverse("dashboard:register-guard"), {"document": text})

    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert not Guard.objects.exists()


def test_who_may_not_register_finds_no_form_and_is_refused(cast: Cast) -> None:
    client = browser(cast.operator)
    shown = client.get(reverse("dashboard:guards")).content.decode()
    refused = client.post(reverse("dashboard:register-guard"), {"document": json.dumps(DOCUMENT)})

    assert "Register a guard" not in shown
    assert refused.status_code == 403
    assert not Guard.objects.exists()


def test_a_guards_page_shows_stages_evidence_and_endpoints(
    cast: Cast, guard: Guard, child: Checkpoint
) -> None:
    measured(cast, child, LOST, KEPT, guard)
    from deployer import services

    endpoint = services.deploy(
        cast.organisation,
        name="chat",
        checkpoint=child,
        target=make_endpoint(cast, name="other").target,
        review=make_approval(cast, child),
        reasoning_policy={},
        replicas=1,
        actor=cast.operator,
    )
    text = page(cast, "guard", guard.pk)

    assert "weapons" in text
    assert "replaced" in text
    assert reverse("dashboard:endpoint", args=[endpoint.pk]) in text
    assert guard.digest in text
    assert "demo-rules" in page(cast, "endpoint", endpoint.pk)


def test_the_record_of_a_replacement_shows_guard_and_control(
    cast: Cast, guard: Guard, child: Checkpoint
) -> None:
    row = measured(cast, child, LOST, KEPT, guard)
    text = page(cast, "evidence", row.pk)

    assert "Without the guard" in text
    assert reverse("dashboard:guard", args=[guard.pk]) in text
    assert "behind the guard demo-rules" in page(cast, "checkpoint", child.pk)


def test_a_measurement_behind_a_guard_is_asked_for_on_the_checkpoints_page(
    cast: Cast, guard: Guard, child: Checkpoint
) -> None:
    url = reverse("dashboard:measure", args=[child.pk])
    answer = browser(cast.security).post(url, {"guard": guard.digest}, follow=True)

    assert "behind demo-rules" in answer.content.decode()
    assert EvidenceJob.objects.get().guard == guard
    browser(cast.security).post(url, {"guard": "sha256:0"})
    assert EvidenceJob.objects.count() == 1


def test_a_guard_is_retired_with_a_reason(cast: Cast, guard: Guard) -> None:
    url = reverse("dashboard:retire-guard", args=[guard.pk])
    browser(cast.security).post(url, {"reason": " "})
    guard.refresh_from_db()
    assert guard.retired_at is None

    answer = browser(cast.security).post(url, {"reason": "weak"}, follow=True)
    assert "is retired" in answer.content.decode()


def test_a_stranger_finds_no_guard(guard: Guard) -> None:
    stranger = browser(make_cast("other").security)

    assert stranger.get(reverse("dashboard:guard", args=[guard.pk])).status_code == 404

"""The page and the address of a checkpoint's safety mechanisms."""

from pathlib import Path

import pytest
from django.urls import reverse

from compliance.models import Evidence
from registry.models import Checkpoint
from tests.build import client_of
from tests.compliance.building import Cast, make_cast
from tests.compliance.test_comparisons import DEMO, stored
from tests.dashboard.test_pages import browser
from tests.registry.mechanisms.folders import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("blobs")]


@pytest.fixture
def cast(keys: Path) -> Cast:
    return make_cast()


@pytest.fixture
def base(cast: Cast) -> Checkpoint:
    row: Checkpoint = stored(cast, "acme/base", DEMO / "nano-base")
    return row


def test_a_base_shows_what_its_files_show(cast: Cast, base: Checkpoint) -> None:
    url = reverse("dashboard:mechanisms", args=[base.pk])
    text = browser(cast.legal).get(url).content.decode()
    told = client_of(cast.organisation, cast.legal).get(
        f"/api/v1/checkpoints/{base.pk}/mechanisms/"
    )

    assert "&lt;think&gt;" in text
    assert "not visible in files" in text
    assert (
        url
        in browser(cast.legal).get(reverse("dashboard:checkpoint", args=[base.pk])).content.decode()
    )
    assert {one["kind"] for one in told.json()["mechanisms"]} >= {"chat_template", "control_token"}


def test_text_of_a_stranger_is_shown_as_text(cast: Cast, tmp_path: Path) -> None:
    folder = make(tmp_path / "m", SYSTEM_PROMPT_dot_txt="<script>alert(1)</script> never harm")
    (folder / "guard" / "model.safetensors").unlink()
    row = stored(cast, "acme/odd", folder)
    text = browser(cast.legal).get(reverse("dashboard:mechanisms", args=[row.pk])).content.decode()

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_reviewer_adds_what_no_file_shows(cast: Cast, base: Checkpoint) -> None:
    url = reverse("dashboard:state-mechanism", args=[base.pk])
    said = {"summary": "The hosted base answers behind a classifier.", "result": "present"}
    answer = browser(cast.security).post(url, said, follow=True)
    browser(cast.operator).post(url, said)
    browser(cast.security).post(url, {"summary": "", "result": "present"})
    row = Evidence.objects.get()

    assert "behind a classifier" in answer.content.decode()
    assert (row.kind, row.method, row.created_by_name) == (
        "safety_mechanism",
        "attested",
        cast.security.username,
    )


def test_a_stranger_finds_nothing(base: Checkpoint) -> None:
    other = make_cast("other")
    page = browser(other.legal).get(reverse("dashboard:mechanisms", args=[base.pk]))
    api = client_of(other.organisation, other.legal).get(
        f"/api/v1/checkpoints/{base.pk}/mechanisms/"
    )

    assert (page.status_code, api.status_code) == (404, 404)

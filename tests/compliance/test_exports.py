"""A stored judgement can be had in every format, and only while it still holds."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from compliance.interchange.formats import MEDIA
from compliance.services.assess import assess
from compliance.services.pins import pin_licence
from tests.build import client_of
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys", "blobs")]


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def row(cast: Cast) -> Any:
    base = make_checkpoint(cast, "acme/base", license="cc-by-4.0")
    child = make_checkpoint(cast, "acme/child", parent=base, license="apache-2.0")
    child.manifest["files"] = [{"path": "LICENSE", "size": 3, "sha256": "ab" * 32}]
    child.save()
    return assess(child, USE, actor="test")


@pytest.fixture
def client(cast: Cast) -> APIClient:
    return client_of(cast.organisation, cast.submitter)


def get(client: APIClient, row: Any, form: str, **more: Any) -> Any:
    return client.get(f"/api/v1/assessments/{row.pk}/export/", {"as": form}, **more)


@pytest.mark.parametrize("form", MEDIA)
def test_every_format_comes_with_its_kind_and_a_name(
    client: APIClient, row: Any, form: str
) -> None:
    answer = get(client, row, form, HTTP_ACCEPT=MEDIA[form].partition(";")[0])

    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == MEDIA[form]
    assert 'filename="acme-child-' in answer["Content-Disposition"]
    assert len(answer.content) > 500


def test_json_is_the_stored_report(client: APIClient, row: Any) -> None:
    assert get(client, row, "json").json() == row.report


def test_a_bill_of_materials_tells_lineage_and_hashes(client: APIClient, row: Any) -> None:
    told = get(client, row, "cyclonedx").content.decode()

    assert "acme/base" in told
    assert "ab" * 32 in told
    assert json.loads(told)["specVersion"] == "1.6"


def test_what_no_longer_holds_is_not_written_but_its_report_is(
    cast: Cast, client: APIClient, row: Any
) -> None:
    pin_licence(row.checkpoint, licence_key="mit", reason="read", actor=cast.legal)

    answer = get(client, row, "spdx")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_as_judged")
    assert get(client, row, "json").json() == row.report


def test_an_unknown_format_is_refused_with_the_known_ones(client: APIClient, row: Any) -> None:
    answer = get(client, row, "docx")

    assert answer.status_code == 400
    assert "cyclonedx-1.7" in answer.json()["detail"]
    assert client.get(f"/api/v1/assessments/{row.pk}/export/").status_code == 400


def test_a_stranger_finds_nothing(row: Any) -> None:
    other = make_cast("other")

    assert get(client_of(other.organisation, other.legal), row, "json").status_code == 404
    page = Client()
    page.force_login(other.legal)
    url = reverse("dashboard:assessment-download", args=[row.pk, "json"])
    assert page.get(url).status_code == 404


def test_the_page_offers_the_files(cast: Cast, row: Any) -> None:
    page = Client()
    page.force_login(cast.legal)

    shown = page.get(reverse("dashboard:checkpoint", args=[row.checkpoint_id])).content.decode()
    url = reverse("dashboard:assessment-download", args=[row.pk, "html"])

    assert url in shown
    answer = page.get(url)
    assert answer["Content-Disposition"].startswith("attachment")
    assert b"acme/child" in answer.content
    assert page.get(url.replace("/html/", "/docx/")).status_code == 404


def test_the_page_says_why_a_file_cannot_be_written(cast: Cast, row: Any) -> None:
    page = Client()
    page.force_login(cast.legal)
    pin_licence(row.checkpoint, licence_key="mit", reason="read", actor=cast.legal)

    answer = page.get(reverse("dashboard:assessment-download", args=[row.pk, "spdx"]), follow=True)

    assert "judge again" in answer.content.decode()

"""Check the licences' REST: lists, history, proposals, roles, strangers, ETags, faults."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from rest_framework.test import APIClient

from compliance.models import LicenceRecord
from registry.keys import make_key
from registry.models import User
from tests.build import client_of
from tests.compliance.building import Cast, make_cast, make_person
from tests.compliance.test_organisation_licences import HOUSE, bundled

pytestmark = pytest.mark.django_db

ROOT = "/api/v1/licences/"


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def author(cast: Cast) -> APIClient:
    return client_of(cast.organisation, cast.legal)


@pytest.fixture
def counsel(cast: Cast) -> APIClient:
    return client_of(cast.organisation, second(cast))


def second(cast: Cast) -> User:
    return make_person(cast.organisation, "acme-lou", "legal_reviewer")


def propose(client: APIClient, status: int = 201, **body: Any) -> dict[str, Any]:
    headers = body.pop("headers", {})
    answer = client.post(f"{ROOT}proposals/", {"reason": "read", **body}, headers=headers)
    assert answer.status_code == status, answer.json()
    return dict(answer.json())


def move(client: APIClient, row: dict[str, Any], verb: str, **body: Any) -> Any:
    return client.post(f"{ROOT}proposals/{row['id']}/{verb}/", body)


def test_a_proposal_in_yaml_comes_into_force_and_shows_in_list_and_history(
    author: APIClient, counsel: APIClient
) -> None:
    row = propose(author, yaml=HOUSE)
    assert (row["state"], row["change"], row["number"]) == ("proposed", "add", 1)

    done = move(counsel, row, "approve", reason="Read.")

    assert (done.status_code, done.json()["state"]) == (200, "active")
    listed = author.get(f"{ROOT}?origin=organisation").json()["results"]
    assert [(one["key"], one["reviewed_by"], one["record"]) for one in listed] == [
        ("house-1", "Lena Legal", row["id"])
    ]
    [version] = author.get(f"{ROOT}house-1/history/").json()["versions"]
    assert (version["author"], version["decided_by"]) == ("acme-lena", "acme-lou")
    assert [one["change"] for one in version["diff"]["clauses"]] == ["added"]
    assert author.get(f"{ROOT}house-1/").json()["yaml"] == HOUSE


def test_a_proposal_in_json_says_the_same_as_one_in_yaml(author: APIClient) -> None:
    document = yaml.safe_load(HOUSE)
    document["date_read"] = date.isoformat(document["date_read"])

    first, other = propose(author, yaml=HOUSE), propose(author, document=document)

    assert first["digest"] == other["digest"]


def test_all_faults_come_back_with_their_lines(author: APIClient) -> None:
    text = HOUSE.replace("status: read", "status: maybe").replace("date_read: 2026-01-16", "x: 1")

    problem = propose(author, 400, yaml=text)

    assert problem["code"] == "licence_invalid"
    assert [(one["place"], one["line"]) for one in problem["lines"]] == [
        ("x", 10),
        ("date_read", 1),
    ]
    assert LicenceRecord.objects.count() == 0


@pytest.mark.parametrize(
    "body", [{}, {"yaml": HOUSE, "retire": "mit"}, {"yaml": HOUSE, "state": "active"}]
)
def test_a_body_that_says_nothing_or_too_much_is_refused(
    author: APIClient, body: dict[str, Any]
) -> None:
    propose(author, 400, **body)

    assert LicenceRecord.objects.count() == 0


@pytest.mark.parametrize("quote", ["a\\0b", "a\\ud800b", "read \\u202e yenom on"])
def test_what_no_column_holds_or_what_shows_otherwise_is_refused(
    author: APIClient, quote: str
) -> None:
    text = HOUSE.replace("You may not use the Model for money.", f'"{quote}"')

    assert propose(author, 400, yaml=text)["code"] == "licence_invalid"


def test_roles_and_authorship_are_held_to(cast: Cast, author: APIClient) -> None:
    submitter = client_of(cast.organisation, cast.submitter)
    propose(submitter, 403, yaml=HOUSE)
    row = propose(author, yaml=HOUSE)

    assert move(submitter, row, "approve").json()["code"] == "role_missing"
    assert move(author, row, "approve").json()["code"] == "separation_of_duties"
    assert LicenceRecord.objects.get().state == "proposed"


def test_a_stranger_finds_no_proposal(author: APIClient) -> None:
    other = make_cast("other")
    stranger, row = client_of(other.organisation, other.legal), propose(author, yaml=HOUSE)

    for verb in ("approve", "refuse", "withdraw"):
        assert move(stranger, row, verb, reason="x").status_code == 404
    assert stranger.get(f"{ROOT}proposals/{row['id']}/").status_code == 404
    assert stranger.get(f"{ROOT}proposals/{row['id']}/impact/").status_code == 404
    assert stranger.get(f"{ROOT}house-1/history/").status_code == 404
    assert stranger.get(f"{ROOT}proposals/").json()["results"] == []


def test_a_record_written_on_old_ground_is_refused_by_if_match(author: APIClient) -> None:
    etag = author.get(f"{ROOT}mit/").headers["ETag"]
    text = bundled("mit").replace("title: MIT License", "title: The MIT License")

    stale = propose(author, 412, yaml=text, headers={"If-Match": '"sha256:other"'})

    assert stale["code"] == "precondition_failed"
    assert propose(author, yaml=text, headers={"If-Match": etag})["change"] == "override"
    assert LicenceRecord.objects.count() == 1


def test_a_decision_on_another_state_than_was_read_is_refused(
    author: APIClient, counsel: APIClient
) -> None:
    row = propose(author, yaml=HOUSE)
    url = f"{ROOT}proposals/{row['id']}/approve/"

    assert counsel.post(url, {}, headers={"If-Match": '"1"'}).status_code == 412
    etag = counsel.get(f"{ROOT}proposals/{row['id']}/").headers["ETag"]
    assert counsel.post(url, {}, headers={"If-Match": etag}).status_code == 200
    assert counsel.post(url, {}).json()["code"] == "stale_state"


def test_a_repeated_post_with_one_key_proposes_once(author: APIClient) -> None:
    headers = {"Idempotency-Key": "once"}

    first = propose(author, yaml=HOUSE, headers=headers)

    assert propose(author, yaml=HOUSE, headers=headers)["id"] == first["id"]
    assert LicenceRecord.objects.count() == 1


def test_retiring_and_refusing_by_rest(author: APIClient, counsel: APIClient) -> None:
    move(counsel, propose(author, yaml=HOUSE), "approve")
    row = propose(author, retire="house-1")

    assert move(counsel, row, "refuse").status_code == 400
    assert move(counsel, row, "refuse", reason="Keep it.").json()["state"] == "refused"
    assert move(counsel, propose(author, retire="house-1"), "approve").status_code == 200
    assert author.get(f"{ROOT}house-1/").status_code == 404
    assert len(author.get(f"{ROOT}house-1/history/").json()["versions"]) == 3


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("q=apache 2.0", "apache-2.0"),
        ("family=mit", "mit"),
        ("q=creative noncommercial", "cc-by-nc-4.0"),
    ],
)
def test_the_list_is_narrowed(author: APIClient, query: str, key: str) -> None:
    found = [one["key"] for one in author.get(f"{ROOT}?{query}").json()["results"]]

    assert key in found
    assert "llama-3.1" not in found


def test_nobody_is_named_as_counsel_in_what_ships(author: APIClient) -> None:
    assert author.get(f"{ROOT}?counsel=yes").json()["results"] == []
    assert len(author.get(f"{ROOT}?counsel=no&origin=bundled").json()["results"]) >= 14

"""Check that a POST with an Idempotency-Key happens once, whoever repeats it and when."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from registry.errors import Conflict
from registry.idempotency import Idempotent
from registry.models import Checkpoint, IdempotencyRecord, LedgerEntry, Organisation, User
from tests.build import Cast, client_of, make_cast, make_person, small_files, store_files

pytestmark = pytest.mark.django_db
PATH = "/api/v1/checkpoints/"


@pytest.fixture(autouse=True)
def _store(blobs: Path) -> None:
    pass


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def body(cast: Cast, name: str = "acme/model", salt: int = 0) -> dict[str, Any]:
    manifest = store_files(cast.organisation, small_files(salt=salt))
    return {"name": name, "kind": "weights", "manifest": manifest.to_json()}


def send(cast: Cast, content: Any, key: str = "key-1", person: User | None = None) -> Any:
    client = client_of(cast.organisation, person or cast.submitter)
    return client.post(PATH, content, format="json", headers={"Idempotency-Key": key})


def test_the_second_call_answers_what_the_first_did(cast: Cast) -> None:
    content = body(cast)

    first, second = send(cast, content), send(cast, content)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert LedgerEntry.objects.filter(action="checkpoint.registered").count() == 1


def test_another_body_under_the_same_key_is_refused(cast: Cast) -> None:
    send(cast, body(cast))

    refused = send(cast, body(cast, salt=1))

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")
    assert Checkpoint.objects.count() == 1


def test_a_key_belongs_to_one_person_and_one_path(cast: Cast) -> None:
    other = make_person(cast.organisation, "acme-eve", "submitter")
    content = body(cast)
    send(cast, content)

    theirs = send(cast, content, person=other)
    elsewhere = client_of(cast.organisation, cast.submitter).post(
        "/api/v1/blobs/missing/", {"sha256": []}, headers={"Idempotency-Key": "key-1"}
    )

    assert (theirs.status_code, "Idempotent-Replayed" in theirs.headers) == (200, False)
    assert (elsewhere.status_code, elsewhere.json()) == (200, {"missing": []})


def test_a_refusal_is_not_stored_so_the_same_call_may_succeed_later(cast: Cast) -> None:
    content = body(cast)
    roles = cast.submitter.memberships
    roles.update(roles=["viewer"])

    refused = send(cast, content)
    roles.update(roles=["submitter"])

    assert refused.status_code == 403
    assert not IdempotencyRecord.objects.exists()
    assert send(cast, content).status_code == 201


def test_a_crash_takes_both_the_effect_and_the_answer_with_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = body(cast)
    client = client_of(cast.organisation, cast.submitter)
    client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr("registry.services.publish", lambda *_: 1 / 0)
        crashed = client.post(PATH, content, format="json", headers={"Idempotency-Key": "k"})

    assert crashed.status_code == 500
    assert not Checkpoint.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    assert send(cast, content, key="k").status_code == 201


class HalfWay(Idempotent):
    """Write something, and refuse only then."""

    def post(self, request: Request) -> Response:
        Organisation.objects.create(slug="half", name="Half")
        raise Conflict("No.")


def test_a_refusal_after_a_write_takes_the_write_back(cast: Cast) -> None:
    request = APIRequestFactory().post("/half/", {}, headers={"Idempotency-Key": "key-1"})
    force_authenticate(request, user=cast.submitter)

    answer = HalfWay.as_view()(request)

    assert answer.status_code == 409
    assert not Organisation.objects.filter(slug="half").exists()


def test_a_secret_is_never_stored_as_an_answer(cast: Cast) -> None:
    client = client_of(cast.organisation, cast.submitter)

    made = client.post("/api/v1/tokens/", {"name": "ci"}, headers={"Idempotency-Key": "key-1"})

    assert made.status_code == 201
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("key", ["k" * 201, "with space", "tab\tin it", "ключ"])
def test_a_key_that_no_column_could_hold_is_refused(cast: Cast, key: str) -> None:
    refused = send(cast, body(cast), key=key)

    assert (refused.status_code, refused.json()["code"]) == (400, "bad_input")
    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "key-1"}])
def test_a_body_that_is_too_large_is_a_problem_with_a_name(cast: Cast, key: Any) -> None:
    client = client_of(cast.organisation, cast.submitter)
    content = {"sha256": ["a" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE]}

    refused = client.post("/api/v1/blobs/missing/", content, format="json", headers=key)

    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.django_db(transaction=True)
def test_of_calls_at_the_same_time_one_has_the_effect(cast: Cast) -> None:
    content = body(cast)
    clients = [client_of(cast.organisation, cast.submitter) for _ in range(4)]
    start, answers = threading.Barrier(len(clients)), []

    def work(client: Any) -> None:
        start.wait()
        try:
            answer = client.post(PATH, content, format="json", headers={"Idempotency-Key": "k"})
            answers.append((answer.status_code, answer.json().get("id")))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    one = str(Checkpoint.objects.get().pk)
    assert len(answers) == len(clients)
    assert (201, one) in answers
    assert set(answers) <= {(201, one), (409, None)}
    assert LedgerEntry.objects.filter(action="checkpoint.registered").count() == 1

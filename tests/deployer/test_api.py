"""Check the deployer's REST: shapes, roles, strangers, ETags, problems, secrets."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from compliance.models import Review
from deployer import services
from deployer.models import Endpoint, EndpointKey, Replica
from registry.models import IdempotencyRecord, LedgerEntry
from tests.build import (
    USE,
    Cast,
    client_of,
    make_approval,
    make_cast,
    make_checkpoint,
    make_endpoint,
    make_person,
    make_target,
)
from tests.deployer.standing import end_standing

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def cast(keys: Path) -> Cast:
    return make_cast()


@pytest.fixture
def client(cast: Cast) -> APIClient:
    return client_of(cast.organisation, cast.operator)


@pytest.fixture
def endpoint(cast: Cast) -> Endpoint:
    return make_endpoint(cast)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    return body


def order(cast: Cast, **fields: Any) -> dict[str, Any]:
    """Make the body of a deployment that is in order."""
    checkpoint = make_checkpoint(cast, "acme/model")
    make_approval(cast, checkpoint)
    make_target(cast)
    return {"name": "chat", "checkpoint": str(checkpoint.pk), "target": "here", **fields}


def at(endpoint: Endpoint, more: str = "") -> str:
    return f"{API}/endpoints/{endpoint.pk}/{more}"


@pytest.mark.parametrize("named", ["nothing", "use", "review"])
def test_an_approved_checkpoint_is_deployed(cast: Cast, client: APIClient, named: str) -> None:
    body = order(cast, replicas=2, reasoning_policy={"mode": "always_on"})
    if named == "use":
        body["use"] = USE
    if named == "review":
        body["review"] = str(Review.objects.get().pk)

    answer = client.post(f"{API}/endpoints/", body)

    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["name"], made["model"], made["phase"]) == ("chat", "acme/model", "pending")
    assert made["review"] == str(Review.objects.get().pk)
    assert made["reasoning_policy"]["mode"] == "always_on"
    assert (made["replicas"], made["desired_replicas"]) == ([], 2)
    assert answer["ETag"] == '"1"'


def test_another_use_than_the_approved_is_refused(cast: Cast, client: APIClient) -> None:
    body = order(cast, use={**USE, "monthly_active_users": 1})

    problem(client.post(f"{API}/endpoints/", body), 409, "not_approved")
    assert not Endpoint.objects.exists()


def test_without_an_approval_the_answer_is_not_approved(cast: Cast, client: APIClient) -> None:
    body = order(cast)
    Review.objects.update(state="stale")

    problem(client.post(f"{API}/endpoints/", body), 409, "not_approved")


def test_what_has_ended_answers_with_the_clause(cast: Cast, client: APIClient) -> None:
    body = order(cast)
    cause = end_standing(Review.objects.get().checkpoint)

    assert problem(client.post(f"{API}/endpoints/", body), 451, "licence_ended") == cause


def test_an_unknown_target_is_named(cast: Cast, client: APIClient) -> None:
    answer = client.post(f"{API}/endpoints/", order(cast, target="there"))

    assert "'there'" in problem(answer, 422, "unknown_target")["detail"]


@pytest.mark.parametrize(
    "fields", [{"replicas": 0}, {"replicas": 65}, {"name": "not a slug"}, {"unknown": 1}]
)
def test_fields_that_make_no_sense_are_named(
    cast: Cast, client: APIClient, fields: dict[str, Any]
) -> None:
    body = problem(client.post(f"{API}/endpoints/", order(cast, **fields)), 400, "invalid")

    assert set(body["errors"]) == set(fields)
    assert not Endpoint.objects.exists()


def test_a_foreign_checkpoint_review_or_target_does_not_exist(
    cast: Cast, client: APIClient
) -> None:
    theirs = make_endpoint(make_cast("other"))
    body = order(cast)

    foreign = {**body, "checkpoint": str(theirs.checkpoint.pk)}
    problem(client.post(f"{API}/endpoints/", foreign), 404, "not_found")
    foreign = {**body, "review": str(theirs.review.pk)}
    problem(client.post(f"{API}/endpoints/", foreign), 404, "not_found")


def test_a_change_says_which_version_it_means(client: APIClient, endpoint: Endpoint) -> None:
    problem(client.patch(at(endpoint), {"replicas": 2}), 428, "precondition_required")
    stale = client.patch(at(endpoint), {"replicas": 2}, headers={"If-Match": '"7"'})
    problem(stale, 412, "precondition_failed")
    endpoint.refresh_from_db()
    assert endpoint.desired_replicas == 1

    etag = client.get(at(endpoint))["ETag"]
    answer = client.patch(at(endpoint), {"replicas": 2}, headers={"If-Match": etag})

    assert answer.status_code == 200, answer.content
    assert (answer.json()["desired_replicas"], answer["ETag"]) == (2, '"2"')
    again = client.patch(at(endpoint), {"replicas": 3}, headers={"If-Match": etag})
    problem(again, 412, "precondition_failed")


def test_a_change_to_a_use_that_is_not_approved_is_refused(
    client: APIClient, endpoint: Endpoint
) -> None:
    use = {**USE, "monthly_active_users": 1}
    answer = client.patch(at(endpoint), {"use": use}, headers={"If-Match": "*"})

    problem(answer, 409, "not_approved")
    endpoint.refresh_from_db()
    assert endpoint.version == 1


def test_a_change_to_another_approved_checkpoint_is_a_new_generation(
    cast: Cast, client: APIClient, endpoint: Endpoint
) -> None:
    second = make_checkpoint(cast, "acme/second")
    body = {"checkpoint": str(second.pk)}
    problem(client.patch(at(endpoint), body, headers={"If-Match": "*"}), 409, "not_approved")
    make_approval(cast, second)

    answer = client.patch(at(endpoint), body, headers={"If-Match": "*"})

    assert (answer.json()["model"], answer.json()["generation"]) == ("acme/second", 2)
    listed = client.get(f"{API}/deployments/").json()["results"]
    assert [(one["model"], one["generation"]) for one in listed] == [
        ("acme/second", 2),
        ("acme/model", 1),
    ]


def test_stopping_is_said_by_the_desired_state(client: APIClient, endpoint: Endpoint) -> None:
    answer = client.post(at(endpoint, "stop/"))

    assert (answer.status_code, answer.json()["desired"]) == (200, "stopped")


def test_a_key_is_shown_once(client: APIClient, endpoint: Endpoint) -> None:
    answer = client.post(at(endpoint, "keys/"), {"name": "app"})
    secret = answer.json()["key"]

    assert (answer.status_code, secret[:4]) == (201, "lek_")
    for path in (at(endpoint, "keys/"), at(endpoint), f"{API}/endpoints/", f"{API}/permits/"):
        assert secret not in client.get(path).content.decode()
    (listed,) = client.get(at(endpoint, "keys/")).json()["results"]
    assert listed["prefix"] == secret[: len(listed["prefix"])]
    assert len(listed["prefix"]) < len(secret) / 2


def test_a_key_made_under_an_idempotency_key_is_not_kept_either(
    client: APIClient, endpoint: Endpoint
) -> None:
    headers = {"Idempotency-Key": "once"}
    secret = client.post(at(endpoint, "keys/"), {"name": "app"}, headers=headers).json()["key"]

    assert secret not in str(list(IdempotencyRecord.objects.values()))
    assert secret not in str(list(LedgerEntry.objects.values()))


def test_a_key_is_revoked(cast: Cast, client: APIClient, endpoint: Endpoint) -> None:
    key, _ = services.issue_key(endpoint, name="app", actor=cast.operator)

    assert client.delete(at(endpoint, f"keys/{key.pk}/")).status_code == 204
    assert client.get(at(endpoint, "keys/")).json()["results"][0]["revoked_at"] is not None
    problem(client.delete(at(endpoint, f"keys/{uuid4()}/")), 404, "not_found")


def test_a_permit_is_listed_without_the_permit_itself(
    cast: Cast, client: APIClient, endpoint: Endpoint
) -> None:
    Replica.objects.create(
        organisation=cast.organisation,
        endpoint=endpoint,
        checkpoint=endpoint.checkpoint,
        generation=1,
        serial=4,
        permit="the.signed.permit",
        permit_issued_at=endpoint.created_at,
    )

    answer = client.get(f"{API}/permits/")

    assert [one["serial"] for one in answer.json()["results"]] == [4]
    for path in (f"{API}/permits/", at(endpoint), f"{API}/endpoints/"):
        assert "the.signed.permit" not in client.get(path).content.decode()


def test_a_stranger_finds_nothing_and_changes_nothing(cast: Cast, endpoint: Endpoint) -> None:
    key, _ = services.issue_key(endpoint, name="app", actor=cast.operator)
    others = make_cast("other")
    admin = make_person(others.organisation, "boss", "operator", "org_admin", "auditor")
    stranger = client_of(others.organisation, admin)

    for method, path in (
        ("get", at(endpoint)),
        ("patch", at(endpoint)),
        ("post", at(endpoint, "stop/")),
        ("get", at(endpoint, "keys/")),
        ("post", at(endpoint, "keys/")),
        ("delete", at(endpoint, f"keys/{key.pk}/")),
    ):
        answer = getattr(stranger, method)(path, {"name": "x"}, headers={"If-Match": "*"})
        problem(answer, 404, "not_found")
    for path in ("endpoints", "deployments", "targets", "permits"):
        assert stranger.get(f"{API}/{path}/").json()["results"] == []
    endpoint.refresh_from_db()
    assert endpoint.desired == "running"
    assert EndpointKey.objects.get().revoked_at is None


@pytest.mark.parametrize("person", ["submitter", "legal", "security"])
def test_only_operators_deploy(cast: Cast, endpoint: Endpoint, person: str) -> None:
    client = client_of(cast.organisation, getattr(cast, person))
    target = {"name": "t", "kind": "local", "gpu": "cpu"}
    body = {"name": "n", "checkpoint": str(endpoint.checkpoint.pk), "target": "here"}

    for answer in (
        client.post(f"{API}/targets/", target),
        client.post(f"{API}/endpoints/", body),
        client.patch(at(endpoint), {"replicas": 2}, headers={"If-Match": "*"}),
        client.post(at(endpoint, "stop/")),
        client.post(at(endpoint, "keys/"), {"name": "app"}),
    ):
        problem(answer, 403, "role_missing")
    assert client.get(at(endpoint)).status_code == 200
    assert Endpoint.objects.count() == 1
    assert not EndpointKey.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "targets/",
        "endpoints/",
        "endpoints/00000000-0000-4000-8000-000000000000/",
        "deployments/",
        "permits/",
    ],
)
def test_without_a_token_nothing_is_shown(db: None, path: str) -> None:
    answer = APIClient().get(f"{API}/{path}")

    assert answer["WWW-Authenticate"] == "Bearer"
    problem(answer, 401, "not_authenticated")


def test_a_target_is_made_and_listed(client: APIClient) -> None:
    answer = client.post(f"{API}/targets/", {"name": "here", "kind": "local", "gpu": "a10g"})

    assert answer.status_code == 201, answer.content
    assert [one["gpu"] for one in client.get(f"{API}/targets/").json()["results"]] == ["a10g"]
    again = client.post(f"{API}/targets/", {"name": "here", "kind": "local", "gpu": "a10g"})
    problem(again, 409, "duplicate")
    unknown = {"name": "there", "kind": "local", "gpu": "abacus"}
    assert client.post(f"{API}/targets/", unknown).status_code == 400

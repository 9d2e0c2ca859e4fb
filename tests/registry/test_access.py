"""Ask of every address of the registry what a nobody, a stranger and the wrong role get."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from registry.models import ApiToken, Membership
from registry.services import create_token
from registry.urls import urlpatterns
from tests.build import Cast, client_of, make_cast, make_checkpoint, make_person

pytestmark = pytest.mark.django_db

SHA = "a" * 64
# Every address with the role that may use it. A new one must be added here.
ADDRESSES = {
    ("get", "models/"): "viewer",
    ("get", "checkpoints/"): "viewer",
    ("post", "checkpoints/"): "submitter",
    ("get", "checkpoints/<uuid:pk>/"): "viewer",
    ("get", "checkpoints/<uuid:pk>/memory-plan/"): "viewer",
    ("get", "lineage/<uuid:pk>/"): "viewer",
    ("post", "blobs/missing/"): "submitter",
    ("put", "blobs/<str:sha256>/"): "submitter",
    ("get", "imports/"): "viewer",
    ("post", "imports/"): "submitter",
    ("get", "watches/"): "viewer",
    ("post", "watches/"): "submitter",
    ("delete", "watches/<uuid:pk>/"): "submitter",
    ("get", "ledger/"): "auditor",
    ("get", "ledger/export/"): "auditor",
    ("get", "tokens/"): "viewer",
    ("post", "tokens/"): "viewer",
    ("delete", "tokens/<uuid:pk>/"): "viewer",
}
OBJECTS = [key for key in ADDRESSES if "<uuid" in key[1]]
# Whoever has lost their roles may still see and revoke tokens of their own.
WITH_ROLE = [
    key for key in ADDRESSES if key[1] != "tokens/<uuid:pk>/" and key != ("get", "tokens/")
]


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def call(client: APIClient, method: str, route: str, pk: Any = None) -> Any:
    path = route.replace("<uuid:pk>", str(pk or uuid.uuid4())).replace("<str:sha256>", SHA)
    kind = "application/octet-stream" if method == "put" else "application/json"
    body = (
        {} if method == "get" else {"content_type": kind, "data": b"" if method == "put" else "{}"}
    )
    return getattr(client, method)(f"/api/v1/{path}", **body)


def test_every_address_is_in_the_table() -> None:
    routed = {
        (method.lower(), str(pattern.pattern))
        for pattern in urlpatterns
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if hasattr(pattern.callback.view_class, method.lower())
    }

    assert routed == set(ADDRESSES)


@pytest.mark.parametrize(("method", "route"), ADDRESSES)
def test_a_nobody_is_asked_for_a_token(method: str, route: str) -> None:
    answer = call(APIClient(), method, route)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "route"), WITH_ROLE)
def test_a_member_without_any_role_may_do_nothing(cast: Cast, method: str, route: str) -> None:
    person = make_person(cast.organisation, "acme-nemo", "viewer")
    client = client_of(cast.organisation, person)
    Membership.objects.filter(user=person).update(roles=["retired"])

    answer = call(client, method, route)

    assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")


@pytest.mark.parametrize(
    ("method", "route"), [key for key, role in ADDRESSES.items() if role != "viewer"]
)
def test_a_viewer_may_not_do_what_needs_another_role(cast: Cast, method: str, route: str) -> None:
    viewer = make_person(cast.organisation, "acme-vera", "viewer")

    answer = call(client_of(cast.organisation, viewer), method, route)

    assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")


@pytest.mark.parametrize(("method", "route"), OBJECTS)
def test_a_stranger_learns_nothing_of_an_object(cast: Cast, method: str, route: str) -> None:
    stranger = make_cast("other")
    everything = make_person(stranger.organisation, "other-all", "org_admin", "submitter")
    ours = make_checkpoint(cast, "acme/model")
    token, _ = create_token(organisation=cast.organisation, owner=cast.submitter, name="t")
    pk = token.pk if "tokens" in route else ours.pk
    client = client_of(stranger.organisation, everything)

    answer, absent = call(client, method, route, pk), call(client, method, route)

    assert answer.status_code == 404
    assert answer.json() == absent.json()
    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_strangers_lists_hold_their_own_rows_alone(cast: Cast) -> None:
    stranger = make_cast("other")
    make_checkpoint(cast, "acme/model")
    theirs = make_checkpoint(stranger, "other/model")
    auditor = make_person(stranger.organisation, "other-aude", "auditor", "org_admin")
    client = client_of(stranger.organisation, auditor)

    listed = {name: client.get(f"/api/v1/{name}/").json()["results"] for name in LISTS}

    assert [row["id"] for row in listed["checkpoints"]] == [str(theirs.pk)]
    assert [row["name"] for row in listed["models"]] == ["other/model"]
    assert [row["owner"] for row in listed["tokens"]] == ["other-aude"]
    assert [row["actor"] for row in listed["ledger"]] == ["other-aude"]
    named = client.get("/api/v1/checkpoints/?name=acme/model").json()
    assert named["results"] == []


LISTS = ("checkpoints", "models", "tokens", "ledger")


def test_a_bad_query_is_the_callers_fault_on_any_database(cast: Cast) -> None:
    client = client_of(cast.organisation, cast.submitter)

    answer = client.get("/api/v1/checkpoints/?name=%00")

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


def test_a_token_is_shown_once_and_only_its_digest_is_kept(cast: Cast) -> None:
    client = client_of(cast.organisation, cast.submitter)

    made = client.post("/api/v1/tokens/", {"name": "ci", "expires_in_days": 7}).json()

    assert made["token"].startswith(made["prefix"])
    assert made["token"] not in client.get("/api/v1/tokens/").content.decode()
    row = ApiToken.objects.get(pk=made["id"])
    assert made["token"] not in {str(value) for value in vars(row).values()}
    used = APIClient().get("/api/v1/models/", headers={"Authorization": f"Bearer {made['token']}"})
    assert used.status_code == 200


@pytest.mark.parametrize("change", ["expired", "revoked", "inactive", "left", "altered"])
def test_a_token_ends_with_its_time_its_owner_and_its_membership(cast: Cast, change: str) -> None:
    token, secret = create_token(organisation=cast.organisation, owner=cast.submitter, name="t")
    now = timezone.now()
    if change == "expired":
        ApiToken.objects.filter(pk=token.pk).update(expires_at=now - timedelta(seconds=1))
    elif change == "revoked":
        client = client_of(cast.organisation, cast.submitter)
        assert client.delete(f"/api/v1/tokens/{token.pk}/").status_code == 204
    elif change == "inactive":
        cast.submitter.is_active = False
        cast.submitter.save()
    elif change == "left":
        Membership.objects.filter(user=cast.submitter).delete()
    else:
        secret = secret[:-1] + ("a" if secret[-1] != "a" else "b")

    answer = APIClient().get("/api/v1/models/", headers={"Authorization": f"Bearer {secret}"})

    assert answer.status_code == (403 if change == "left" else 401)


def test_only_an_administrator_ends_the_tokens_of_others(cast: Cast) -> None:
    token, _ = create_token(organisation=cast.organisation, owner=cast.submitter, name="t")
    admin = make_person(cast.organisation, "acme-adam", "org_admin")
    path = f"/api/v1/tokens/{token.pk}/"

    colleague = client_of(cast.organisation, cast.operator).delete(path)
    first = client_of(cast.organisation, admin).delete(path)
    again = client_of(cast.organisation, admin).delete(path)

    assert (colleague.status_code, first.status_code, again.status_code) == (404, 204, 204)

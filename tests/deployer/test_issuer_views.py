"""Check what the permit issuer signs, for whom, and what it says when it does not."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.utils import timezone

from compliance.models import Review
from deployer import services
from deployer.models import Endpoint, Replica
from deployer.tokens import replica_token
from inference.permit import PermitClaims, PermitInvalid, read_keys, verify
from tests.build import Cast, make_approval, make_cast, make_checkpoint, make_endpoint
from tests.deployer.standing import end_standing

pytestmark = pytest.mark.django_db
GATEWAY = "a gateway token"


@pytest.fixture(autouse=True)
def _issuer(settings: Any, keys: Path) -> None:
    settings.ROOT_URLCONF = "config.issuer_urls"
    settings.LICTOR_GATEWAY_TOKEN = GATEWAY


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def replica(cast: Cast) -> Replica:
    return make_replica(make_endpoint(cast))


def make_replica(endpoint: Endpoint, state: str = "ready", index: int = 0) -> Replica:
    return Replica.objects.create(
        organisation=endpoint.organisation,
        endpoint=endpoint,
        checkpoint=endpoint.checkpoint,
        generation=endpoint.generation,
        index=index,
        state=state,
        url=f"http://127.0.0.1:900{index}",
        started_at=timezone.now(),
    )


def renew(replica: Replica, /, token: str | None = None, **body: Any) -> Any:
    sent = {
        "replica": str(replica.pk),
        "checkpoint": replica.checkpoint.digest,
        "state": "ready",
    } | body
    bearer = replica_token(str(replica.pk)) if token is None else token
    return Client().post(
        "/permits/renew",
        json.dumps(sent),
        content_type="application/json",
        headers={"Authorization": f"Bearer {bearer}"},
    )


def read(answer: Any, replica: Replica) -> PermitClaims:
    assert answer.status_code == 200, answer.content
    published = read_keys(Client().get("/keys").json())
    return verify(answer.json()["permit"], published, str(replica.pk))


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert "permit" not in body
    return body


def routes(token: str = GATEWAY) -> Any:
    return Client().get("/routes", headers={"Authorization": f"Bearer {token}"})


def route(name: str = "chat") -> dict[str, Any]:
    answer = routes()
    assert answer.status_code == 200, answer.content
    (found,) = [one for one in answer.json()["endpoints"] if one["name"] == name]
    return dict(found)


def test_a_permit_says_what_was_approved_and_verifies(replica: Replica) -> None:
    claims = read(renew(replica), replica)

    endpoint = replica.endpoint
    assert claims.replica == str(replica.pk)
    assert (claims.endpoint, claims.endpoint_name) == (str(endpoint.pk), "chat")
    assert claims.checkpoint == replica.checkpoint.digest
    assert claims.decision == str(endpoint.review.pk)
    assert claims.ttl_seconds == 5


def test_the_serial_rises_and_the_newest_permit_is_kept(replica: Replica) -> None:
    answers = [renew(replica) for _ in range(3)]

    assert [read(answer, replica).serial for answer in answers] == [1, 2, 3]
    replica.refresh_from_db()
    assert replica.permit == answers[-1].json()["permit"]
    assert replica.serial == 3


def test_a_permit_is_for_one_replica_alone(replica: Replica) -> None:
    permit = renew(replica).json()["permit"]
    published = read_keys(Client().get("/keys").json())

    with pytest.raises(PermitInvalid):
        verify(permit, published, str(uuid4()))


def test_the_reasoning_policy_is_in_the_permit(cast: Cast, replica: Replica) -> None:
    Endpoint.objects.update(reasoning_policy={"mode": "always_off"})

    assert read(renew(replica), replica).reasoning_policy.mode == "always_off"


@pytest.mark.parametrize("token", ["", "rep_wrong", GATEWAY])
def test_a_wrong_token_gets_nothing(replica: Replica, token: str) -> None:
    refused(renew(replica, token=token), 401, "unauthenticated")


def test_one_replicas_token_is_of_no_use_for_another(replica: Replica) -> None:
    other = make_replica(replica.endpoint, index=1)

    refused(renew(replica, token=replica_token(str(other.pk))), 401, "unauthenticated")


def test_a_replica_that_is_not_there_is_not_found(replica: Replica) -> None:
    absent = str(uuid4())

    refused(renew(replica, token=replica_token(absent), replica=absent), 404, "not_found")


def test_an_ended_licence_answers_451_with_exactly_the_clause(replica: Replica) -> None:
    assert renew(replica).status_code == 200
    cause = end_standing(replica.checkpoint)

    body = refused(renew(replica), 451, "licence_ended")

    assert body == cause
    assert body["quote"] == "rights granted under this Agreement will terminate"


@pytest.mark.parametrize(
    ("state", "code"),
    [("stale", "review_stale"), ("withdrawn", "review_withdrawn"), ("open", "review_open")],
)
def test_an_approval_that_fell_signs_nothing_more(replica: Replica, state: str, code: str) -> None:
    assert renew(replica).status_code == 200
    Review.objects.update(state=state)

    refused(renew(replica), 403, code)


def test_an_expired_approval_signs_nothing_more(replica: Replica) -> None:
    Review.objects.update(expires_at=timezone.now())

    refused(renew(replica), 403, "review_expired")


def test_a_runtime_that_loaded_something_else_gets_nothing(replica: Replica) -> None:
    answer = renew(replica, checkpoint="sha256:" + "0" * 64)

    refused(answer, 403, "checkpoint_mismatch")
    replica.refresh_from_db()
    assert replica.serial == 0


@pytest.mark.parametrize("state", ["stopping", "stopped", "failed"])
def test_a_replica_that_is_over_gets_nothing(replica: Replica, state: str) -> None:
    Replica.objects.update(state=state)

    refused(renew(replica), 403, "replica_over")


def test_a_replica_of_a_stopped_endpoint_gets_nothing(cast: Cast, replica: Replica) -> None:
    services.stop(replica.endpoint, actor=cast.operator)

    refused(renew(replica), 403, "endpoint_stopped")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"replica": "x", "checkpoint": ""}'])
def test_a_body_that_says_nothing_is_refused(body: bytes) -> None:
    answer = Client().post("/permits/renew", body, content_type="application/json")

    refused(answer, 400, "bad_input")


def change_over(cast: Cast, replica: Replica) -> Replica:
    """Have the endpoint serve another checkpoint; return the new replica, which is starting."""
    second = make_checkpoint(cast, "acme/second")
    changed = services.change(
        replica.endpoint,
        version=replica.endpoint.version,
        actor=cast.operator,
        checkpoint=second,
        review=make_approval(cast, second),
    )
    return make_replica(changed, state="starting", index=1)


def test_while_an_endpoint_changes_over_the_old_replicas_serve_on(
    cast: Cast, replica: Replica
) -> None:
    renew(replica)
    new = change_over(cast, replica)

    old = Replica.objects.get(pk=replica.pk)
    assert read(renew(old), old).checkpoint == replica.checkpoint.digest
    assert read(renew(new), new).checkpoint == new.checkpoint.digest
    assert route()["checkpoint"] == replica.checkpoint.digest
    assert [one["id"] for one in route()["replicas"]] == [str(replica.pk)]

    Replica.objects.filter(pk=new.pk).update(state="ready")
    assert route()["checkpoint"] == new.checkpoint.digest
    assert [one["id"] for one in route()["replicas"]] == [str(new.pk)]


def test_an_old_replica_whose_own_approval_fell_does_not_serve_on(
    cast: Cast, replica: Replica
) -> None:
    first = replica.endpoint.review
    change_over(cast, replica)
    Review.objects.filter(pk=first.pk).update(state="withdrawn")

    refused(renew(Replica.objects.get(pk=replica.pk)), 403, "review_withdrawn")


def test_the_routes_say_who_may_call_and_where_it_runs(cast: Cast, replica: Replica) -> None:
    key, secret = services.issue_key(replica.endpoint, name="app", actor=cast.operator)
    permit = renew(replica).json()["permit"]

    found = route()

    assert (found["org"], found["checkpoint"]) == ("acme", replica.checkpoint.digest)
    assert found["keys"] == [
        {
            "id": str(key.pk),
            "sha256": hashlib.sha256(secret.encode()).hexdigest(),
            "expires_at": None,
        }
    ]
    assert found["replicas"] == [
        {
            "id": str(replica.pk),
            "url": replica.url,
            "token": replica_token(str(replica.pk)),
            "permit": permit,
        }
    ]
    assert found["ended"] is None


def test_the_routes_hide_the_replicas_of_what_has_ended(replica: Replica) -> None:
    cause = end_standing(replica.checkpoint)

    assert (route()["replicas"], route()["ended"]) == ([], cause)


def test_the_routes_hide_the_replicas_of_what_is_stopped_or_not_approved(
    cast: Cast, replica: Replica
) -> None:
    Review.objects.update(state="stale")
    assert (route()["replicas"], route()["ended"]) == ([], None)

    Review.objects.update(state="approved")
    assert len(route()["replicas"]) == 1
    services.stop(replica.endpoint, actor=cast.operator)
    assert route()["replicas"] == []


def test_a_key_of_one_endpoint_is_not_listed_at_another(cast: Cast, replica: Replica) -> None:
    services.issue_key(replica.endpoint, name="app", actor=cast.operator)
    make_endpoint(cast, make_checkpoint(cast, "acme/second"), name="second")
    make_endpoint(make_cast("other"), name="theirs")

    assert len(route("chat")["keys"]) == 1
    assert route("second")["keys"] == route("theirs")["keys"] == []


def test_a_revoked_or_expired_key_is_not_listed(cast: Cast, replica: Replica) -> None:
    first, _ = services.issue_key(replica.endpoint, name="one", actor=cast.operator)
    second, _ = services.issue_key(replica.endpoint, name="two", actor=cast.operator)
    services.revoke_key(first, actor=cast.operator)
    second.expires_at = timezone.now()
    second.save()

    assert route()["keys"] == []


@pytest.mark.parametrize("token", ["", "wrong"])
def test_the_routes_are_for_the_gateway_alone(replica: Replica, token: str) -> None:
    refused(routes(token), 401, "unauthenticated")


def test_without_a_gateway_token_nobody_is_the_gateway(settings: Any) -> None:
    settings.LICTOR_GATEWAY_TOKEN = ""

    refused(routes(""), 401, "unauthenticated")


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("ask", [renew, lambda replica: routes(), lambda replica: ready()])
def test_without_a_database_nothing_is_signed(
    replica: Replica, error: type[Exception], ask: Callable[[Replica], Any]
) -> None:
    def broken(*_: Any) -> None:
        raise error("the server closed the connection")

    assert replica.checkpoint.digest  # read before the database goes
    with connection.execute_wrapper(broken):
        answer = ask(replica)

    refused(answer, 503, "database_unavailable")


def ready() -> Any:
    return Client().get("/readyz")


def test_without_a_key_nothing_is_signed(settings: Any, replica: Replica, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "absent"

    refused(renew(replica), 503, "key_missing")
    refused(ready(), 503, "key_missing")


def test_the_process_is_up_and_ready() -> None:
    assert Client().get("/healthz").json() == {"status": "ok"}
    assert ready().json() == {"status": "ready", "keys": 1}


def test_the_issuer_serves_nothing_else() -> None:
    for path in ("/", "/api/v1/checkpoints/", "/admin/", "/login/"):
        assert Client().get(path).status_code == 404
    assert Client().get("/permits/renew").status_code == 405

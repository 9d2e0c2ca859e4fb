"""What stands in front of an endpoint: chosen by its approval, in permits and routes, retired."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from compliance.models import Guard, Review
from compliance.services import guards
from deployer import permits, services
from deployer.models import Deployment, Endpoint, Replica
from deployer.tokens import replica_token
from inference.gateway.routes import RouteTable
from inference.permit import read_keys, verify
from registry.errors import Conflict, NotEntitled
from registry.models import Checkpoint, LedgerEntry
from tests.build import client_of, make_approval, make_target
from tests.compliance.building import Cast, make_cast
from tests.compliance.test_guards import DOCUMENT, KEPT, LOST, child, measured

__all__ = ["child"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def cast(keys: Path) -> Cast:
    return make_cast()


@pytest.fixture
def guard(cast: Cast) -> Guard:
    return guards.register(cast.organisation, document=DOCUMENT, actor=cast.security)


@pytest.fixture
def other(cast: Cast) -> Guard:
    document = DOCUMENT | {"name": "other"}
    return guards.register(cast.organisation, document=document, actor=cast.security)


@pytest.fixture
def replaced(cast: Cast, child: Checkpoint, guard: Guard) -> Checkpoint:
    """Give a checkpoint whose lost guardrails the guard was measured to replace."""
    measured(cast, child, LOST, KEPT, guard)
    return child


def deploy(cast: Cast, checkpoint: Checkpoint, review: Review, **more: Any) -> Endpoint:
    fields = {"name": "chat", "reasoning_policy": {}, "replicas": 1} | more
    return services.deploy(
        cast.organisation,
        checkpoint=checkpoint,
        target=more.pop("target", None) or make_target(cast),
        review=review,
        actor=cast.operator,
        **{key: value for key, value in fields.items() if key != "target"},
    )


def replica_of(endpoint: Endpoint, **more: Any) -> Replica:
    fields = {"generation": endpoint.generation, "index": 0, "state": "ready"} | more
    return Replica.objects.create(
        organisation=endpoint.organisation,
        endpoint=endpoint,
        checkpoint=endpoint.checkpoint,
        url=f"http://127.0.0.1:90{fields['generation']:02}",
        started_at=timezone.now(),
        **fields,
    )


def renew(replica: Replica) -> str:
    asked = permits.Request(replica.pk, replica.checkpoint.digest)
    return permits.renew(asked, now=timezone.now())


def claimed(replica: Replica) -> str | None:
    published = read_keys({"keys": permits.public_keys()})
    return verify(renew(replica), published, str(replica.pk)).guard


def route() -> dict[str, Any]:
    (only,) = permits.routes(now=timezone.now())["endpoints"]
    return dict(only)


class TestDeploying:
    def test_the_guard_that_the_approval_rests_on_is_taken_by_itself(
        self, cast: Cast, replaced: Checkpoint, guard: Guard
    ) -> None:
        endpoint = deploy(cast, replaced, make_approval(cast, replaced))

        assert endpoint.guard == guard
        assert Deployment.objects.get().guard == guard
        entry = LedgerEntry.objects.get(action="endpoint.created")
        assert entry.payload["guard"] == guard.digest

    def test_no_other_guard_will_do(self, cast: Cast, replaced: Checkpoint, other: Guard) -> None:
        with pytest.raises(Conflict) as refusal:
            deploy(cast, replaced, make_approval(cast, replaced), guard=other)

        assert refusal.value.code == "guard_missing"
        assert not Endpoint.objects.exists()

    def test_the_guard_cannot_be_taken_away_or_exchanged(
        self, cast: Cast, replaced: Checkpoint, other: Guard
    ) -> None:
        endpoint = deploy(cast, replaced, make_approval(cast, replaced))
        for wanted in (None, other):
            with pytest.raises(Conflict) as refusal:
                services.change(endpoint, version=1, actor=cast.operator, guard=wanted)
            assert refusal.value.code == "guard_missing"

        kept = services.change(endpoint, version=1, actor=cast.operator, replicas=2)
        assert kept.guard is not None

    def test_a_guard_nobody_asked_for_may_be_put_up_and_taken_down(
        self, cast: Cast, child: Checkpoint, guard: Guard
    ) -> None:
        measured(cast, child, KEPT, None, None)
        endpoint = deploy(cast, child, make_approval(cast, child), guard=guard)
        assert endpoint.guard == guard

        endpoint = services.change(endpoint, version=1, actor=cast.operator, guard=None)
        assert endpoint.guard is None

    def test_a_retired_guard_is_not_put_up(
        self, cast: Cast, child: Checkpoint, guard: Guard
    ) -> None:
        measured(cast, child, KEPT, None, None)
        review = make_approval(cast, child)
        retired = guards.retire(guard, reason="Weak.", actor=cast.security)
        with pytest.raises(Conflict) as refusal:
            deploy(cast, child, review, guard=retired)

        assert refusal.value.code == "guard_retired"

    def test_the_api_names_guards_and_takes_null_for_none(
        self, cast: Cast, child: Checkpoint, guard: Guard
    ) -> None:
        measured(cast, child, KEPT, None, None)
        make_approval(cast, child)
        make_target(cast)
        client = client_of(cast.organisation, cast.operator)
        body = {"name": "chat", "checkpoint": str(child.pk), "target": "here"}
        made = client.post("/api/v1/endpoints/", body | {"guard": str(guard.pk)}, format="json")
        assert (made.status_code, made.json()["guard"]) == (201, str(guard.pk))
        one = f"/api/v1/endpoints/{made.json()['id']}/"
        kept = client.patch(one, {"replicas": 2}, format="json", headers={"If-Match": made["ETag"]})
        assert kept.json()["guard"] == str(guard.pk)
        gone = client.patch(one, {"guard": None}, format="json", headers={"If-Match": kept["ETag"]})

        assert gone.json()["guard"] is None


class TestPermits:
    def test_a_permit_carries_the_digest_of_the_guard(
        self, cast: Cast, replaced: Checkpoint, guard: Guard
    ) -> None:
        endpoint = deploy(cast, replaced, make_approval(cast, replaced))

        assert claimed(replica_of(endpoint)) == guard.digest

    def test_without_the_guard_there_is_no_permit(self, cast: Cast, replaced: Checkpoint) -> None:
        endpoint = deploy(cast, replaced, make_approval(cast, replaced))
        Endpoint.objects.filter(pk=endpoint.pk).update(guard=None)
        with pytest.raises(NotEntitled) as refusal:
            renew(replica_of(endpoint))

        assert refusal.value.code == "guard_missing"

    @pytest.mark.parametrize("needed", [True, False])
    def test_retiring_a_guard_ends_the_permits_behind_it(
        self, cast: Cast, child: Checkpoint, guard: Guard, needed: bool
    ) -> None:
        measured(cast, child, LOST if needed else KEPT, KEPT, guard)
        endpoint = deploy(cast, child, make_approval(cast, child), guard=guard)
        replica = replica_of(endpoint)
        renew(replica)
        guards.retire(guard, reason="Weak.", actor=cast.security)
        with pytest.raises(NotEntitled) as refusal:
            renew(replica)

        assert refusal.value.code == ("review_stale" if needed else "guard_retired")
        assert route()["replicas"] == []

    def test_the_issuer_says_so_over_http(
        self, cast: Cast, replaced: Checkpoint, settings: Any
    ) -> None:
        settings.ROOT_URLCONF = "config.issuer_urls"
        endpoint = deploy(cast, replaced, make_approval(cast, replaced))
        Endpoint.objects.filter(pk=endpoint.pk).update(guard=None)
        replica = replica_of(endpoint)
        body = {"replica": str(replica.pk), "checkpoint": replica.checkpoint.digest}
        answer = Client().post(
            "/permits/renew",
            json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {replica_token(str(replica.pk))}"},
        )

        assert (answer.status_code, answer.json()["code"]) == (403, "guard_missing")


class TestRoutes:
    def test_a_route_carries_the_guard_and_the_gateway_reads_it(
        self, cast: Cast, replaced: Checkpoint, guard: Guard
    ) -> None:
        endpoint = deploy(cast, replaced, make_approval(cast, replaced))
        renew(replica_of(endpoint))
        _, secret = services.issue_key(endpoint, name="k", actor=cast.operator)
        body = permits.routes(now=timezone.now())
        table = RouteTable()
        faults = table.load(body, table.clock(), keys=read_keys({"keys": permits.public_keys()}))
        found = table.endpoint("chat", table.identify(secret))

        assert faults == []
        assert found.guard_digest == guard.digest
        assert len(table.ready_replicas(found)) == 1

    def test_an_endpoint_without_a_guard_says_so(self, cast: Cast, child: Checkpoint) -> None:
        measured(cast, child, KEPT, None, None)
        deploy(cast, child, make_approval(cast, child))

        assert route()["guard"] is None

    def test_while_guards_change_the_old_one_serves_until_the_new_is_ready(
        self, cast: Cast, child: Checkpoint, guard: Guard, other: Guard
    ) -> None:
        measured(cast, child, KEPT, None, None)
        endpoint = deploy(cast, child, make_approval(cast, child), guard=guard)
        old = replica_of(endpoint)
        endpoint = services.change(endpoint, version=1, actor=cast.operator, guard=other)
        new = replica_of(endpoint, state="starting")

        before = route()
        assert before["guard"]["digest"] == guard.digest == claimed(old)
        assert [one["id"] for one in before["replicas"]] == [str(old.pk)]

        Replica.objects.filter(pk=new.pk).update(state="ready")
        after = route()
        assert after["guard"]["digest"] == other.digest == claimed(new)
        assert [one["id"] for one in after["replicas"]] == [str(new.pk)]

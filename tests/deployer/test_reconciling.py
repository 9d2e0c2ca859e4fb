"""Check that rounds bring an endpoint to what it should be, whoever dies on the way."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance.models import Review
from deployer import reconciling, services
from deployer.domain.reconcile import START_DEADLINE
from deployer.models import Endpoint, Replica
from deployer.reconciling import LEASE, endpoints_due, reconcile_endpoint
from deployer.targets.base import TargetError, TargetKind
from registry.models import LedgerEntry
from tests.build import Cast, make_approval, make_cast, make_checkpoint, make_endpoint
from tests.deployer.fake_target import FakeTarget
from tests.deployer.standing import end_standing

pytestmark = pytest.mark.django_db


class Died(BaseException):
    """Stand for a worker that is killed: nothing catches it."""


@pytest.fixture
def cast(keys: Path) -> Cast:
    return make_cast()


@pytest.fixture
def endpoint(cast: Cast) -> Endpoint:
    return make_endpoint(cast, replicas=2)


@pytest.fixture
def target() -> FakeTarget:
    return FakeTarget()


def rounds(endpoint: Endpoint, target: TargetKind, count: int = 4, later: float = 0) -> Endpoint:
    start = timezone.now() + timedelta(seconds=later)
    for number in range(count):
        reconcile_endpoint(endpoint.pk, target=target, now=start + timedelta(seconds=number))
    endpoint.refresh_from_db()
    return endpoint


def states(endpoint: Endpoint) -> list[tuple[int, int, str]]:
    rows = Replica.objects.filter(endpoint=endpoint).order_by("generation", "index", "created_at")
    return [(row.generation, row.index, row.state) for row in rows]


def actions() -> list[str]:
    rows = LedgerEntry.objects.filter(actor="system:reconciler").order_by("seq")
    return list(rows.values_list("action", flat=True))


def test_an_approved_endpoint_comes_up(endpoint: Endpoint, target: FakeTarget) -> None:
    rounds(endpoint, target)

    assert states(endpoint) == [(1, 0, "ready"), (1, 1, "ready")]
    assert (endpoint.phase, endpoint.observed_generation) == ("ready", 1)
    assert len(target.running) == 2
    urls = set(Replica.objects.values_list("url", flat=True))
    assert urls == set(target.running.values())
    assert actions() == ["endpoint.ready"]


def test_more_rounds_change_nothing(endpoint: Endpoint, target: FakeTarget) -> None:
    rounds(endpoint, target)
    before = (dict(target.running), states(endpoint), LedgerEntry.objects.count())

    assert reconcile_endpoint(endpoint.pk, target=target) is False
    rounds(endpoint, target)

    assert (dict(target.running), states(endpoint), LedgerEntry.objects.count()) == before


def test_a_dead_process_is_replaced_after_a_wait(endpoint: Endpoint, target: FakeTarget) -> None:
    rounds(endpoint, target)
    dead = Replica.objects.get(index=0)
    del target.running[dead.pk]

    now = timezone.now() + timedelta(seconds=10)
    reconcile_endpoint(endpoint.pk, target=target, now=now)
    reconcile_endpoint(endpoint.pk, target=target, now=now)
    dead.refresh_from_db()
    assert (dead.state, dead.message) == ("failed", "the process ended: killed")
    assert len(target.running) == 1, "it waits a second first"

    rounds(endpoint, target, later=12)
    assert endpoint.phase == "ready"
    assert len(target.running) == 2
    assert target.most_at_once == 2


def test_a_target_that_cannot_start_is_tried_five_times(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    target.error = TargetError("no memory left")
    services.change(endpoint, version=1, actor=endpoint_operator(endpoint), replicas=1)
    for seconds in range(0, 120, 2):
        rounds(endpoint, target, count=1, later=seconds)

    failed = Replica.objects.filter(endpoint=endpoint, state="failed")
    assert failed.count() == 5
    assert endpoint.phase == "failed"
    assert "given up after 5 tries: no memory left" in endpoint.message
    assert actions() == ["endpoint.failed"]


def endpoint_operator(endpoint: Endpoint) -> Any:
    return endpoint.deployments.get(generation=1).requested_by


def test_a_change_starts_the_new_before_it_stops_the_old(
    cast: Cast, endpoint: Endpoint, target: FakeTarget
) -> None:
    rounds(endpoint, target)
    old = set(target.running)
    target.ready = True
    second = make_checkpoint(cast, "acme/second")
    services.change(
        endpoint,
        version=endpoint.version,
        actor=cast.operator,
        checkpoint=second,
        review=make_approval(cast, second),
    )
    endpoint.refresh_from_db()

    reconcile_endpoint(endpoint.pk, target=target)
    assert old < set(target.running), "the old serve while the new start"
    rounds(endpoint, target, later=1)

    assert endpoint.phase == "ready"
    assert not old & set(target.running)
    serving = Replica.objects.filter(pk__in=target.running)
    assert {(row.generation, row.checkpoint_id) for row in serving} == {(2, second.pk)}


def test_stopping_stops_everything(cast: Cast, endpoint: Endpoint, target: FakeTarget) -> None:
    rounds(endpoint, target)
    services.stop(endpoint, actor=cast.operator)

    rounds(endpoint, target)

    assert target.running == {}
    assert endpoint.phase == "stopped"
    assert {state for _, _, state in states(endpoint)} == {"stopped"}


def test_an_ended_licence_stops_everything_and_says_why(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    rounds(endpoint, target)
    cause = end_standing(endpoint.checkpoint)

    rounds(endpoint, target)

    assert target.running == {}
    assert (endpoint.phase, endpoint.ended) == ("ended", cause)
    entry = LedgerEntry.objects.get(action="endpoint.ended")
    assert entry.payload == cause


def test_a_lifted_end_lets_the_endpoint_come_up_again(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    from compliance.models import Standing

    end_standing(endpoint.checkpoint)
    rounds(endpoint, target)
    assert target.started == []
    Standing.objects.update(lifted_at=timezone.now())

    assert endpoints_due() == [endpoint.pk]
    rounds(endpoint, target)

    assert (endpoint.phase, endpoint.ended) == ("ready", None)


@pytest.mark.parametrize("state", ["stale", "withdrawn", "refused"])
def test_an_approval_that_fell_stops_everything(
    endpoint: Endpoint, target: FakeTarget, state: str
) -> None:
    rounds(endpoint, target)
    Review.objects.update(state=state)

    rounds(endpoint, target)

    assert target.running == {}
    assert (endpoint.phase, endpoint.message) == ("failed", "no approval in force")


def test_a_worker_killed_after_starting_leaves_no_process_that_nobody_knows(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    def die(replica: Replica) -> None:
        raise Died

    target.after_start = die
    with pytest.raises(Died):
        reconcile_endpoint(endpoint.pk, target=target)
    target.after_start = lambda replica: None
    (orphan,) = target.running
    assert Replica.objects.get(pk=orphan).state == "pending"

    rounds(endpoint, target)
    assert len(target.running) == 2, "its place is taken, so no second is started there"

    rounds(endpoint, target, later=START_DEADLINE.total_seconds() + 1)
    assert orphan not in target.running
    assert endpoint.phase == "ready"
    assert len(target.running) == 2
    assert target.most_at_once == 2
    assert Replica.objects.get(pk=orphan).state == "failed"


def test_a_worker_killed_before_the_start_leaves_a_place_that_is_filled_again(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    class Dying(FakeTarget):
        def start(self, replica: Replica) -> dict[str, Any]:
            raise Died

    with pytest.raises(Died):
        reconcile_endpoint(endpoint.pk, target=Dying())

    rounds(endpoint, target, later=START_DEADLINE.total_seconds() + 1)

    assert (endpoint.phase, len(target.running)) == ("ready", 2)


def test_a_worker_killed_while_stopping_leaves_it_to_the_next(
    cast: Cast, endpoint: Endpoint, target: FakeTarget
) -> None:
    rounds(endpoint, target)

    def die(replica: Replica) -> None:
        raise Died

    Review.objects.update(state="stale")
    target.before_stop = die
    with pytest.raises(Died):
        reconcile_endpoint(endpoint.pk, target=target)
    assert Replica.objects.filter(state="stopping").count() == 1
    target.before_stop = lambda replica: None
    Review.objects.update(state="approved")

    rounds(endpoint, target, count=6)

    assert endpoint.phase == "ready"
    assert len(target.running) == 2
    assert not Replica.objects.filter(state="stopping").exists()


def test_a_second_worker_leaves_while_the_first_is_at_work(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    other, answers = FakeTarget(), []

    def second_worker(replica: Replica) -> None:
        answers.append(reconcile_endpoint(endpoint.pk, target=other))

    target.after_start = second_worker
    reconcile_endpoint(endpoint.pk, target=target)

    assert answers == [False, False]
    assert other.started == []
    endpoint.refresh_from_db()
    assert endpoint.lease_expires_at is None


def test_a_lease_that_ran_out_is_not_taken_back_from_whoever_has_it_now(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    theirs: datetime = timezone.now() + timedelta(hours=1)

    def overtaken(replica: Replica) -> None:
        Endpoint.objects.filter(pk=endpoint.pk).update(lease_expires_at=theirs)

    target.after_start = overtaken
    reconcile_endpoint(endpoint.pk, target=target)

    endpoint.refresh_from_db()
    assert endpoint.lease_expires_at == theirs
    assert reconcile_endpoint(endpoint.pk, target=target) is False


def test_a_dead_workers_lease_runs_out(endpoint: Endpoint, target: FakeTarget) -> None:
    now = timezone.now()
    Endpoint.objects.update(lease_expires_at=now + LEASE)

    assert reconcile_endpoint(endpoint.pk, target=target, now=now) is False
    reconcile_endpoint(endpoint.pk, target=target, now=now + LEASE + timedelta(seconds=1))

    assert len(target.running) == 2


def test_a_process_that_started_after_its_place_was_given_up_is_stopped(
    endpoint: Endpoint, target: FakeTarget
) -> None:
    def given_up(replica: Replica) -> None:
        Replica.objects.filter(pk=replica.pk).update(state="failed", stopped_at=timezone.now())

    target.after_start = given_up
    reconcile_endpoint(endpoint.pk, target=target)

    assert len(target.started) == 2
    assert target.running == {}


def test_an_error_in_a_round_gives_the_lease_back(endpoint: Endpoint, target: FakeTarget) -> None:
    class Broken(FakeTarget):
        def start(self, replica: Replica) -> dict[str, Any]:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        reconcile_endpoint(endpoint.pk, target=Broken())

    endpoint.refresh_from_db()
    assert endpoint.lease_expires_at is None


def test_a_sweep_looks_at_what_should_run_and_at_what_still_does(
    cast: Cast, endpoint: Endpoint, target: FakeTarget
) -> None:
    rounds(endpoint, target)
    services.stop(endpoint, actor=cast.operator)
    assert endpoints_due() == [endpoint.pk]
    rounds(endpoint, target)

    assert endpoints_due() == []


def test_the_hint_of_a_change_reconciles_that_endpoint(
    endpoint: Endpoint, target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployer import tasks

    monkeypatch.setattr(reconciling, "kind_of", lambda row: target)
    monkeypatch.setattr(tasks.reconcile, "apply_async", lambda *args, **fields: None)
    tasks.reconcile(str(endpoint.pk))
    tasks.sweep_endpoints()

    assert len(target.running) == 2

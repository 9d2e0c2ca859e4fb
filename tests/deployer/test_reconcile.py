"""Check the laws of planning one endpoint's next moves, over many states."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.domain.lifecycle import LIVE, MOVES, OVER, may_move
from deployer.domain.reconcile import (
    MAX_ATTEMPTS,
    START_DEADLINE,
    Desired,
    Plan,
    Right,
    Seen,
    backoff,
    reconcile,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RIGHTS: tuple[Right, ...] = ("entitled", "not_entitled", "ended")


@st.composite
def replicas(draw: st.DrawFn) -> tuple[Seen, ...]:
    """Draw rows as the database allows them: one live row a place, any number that failed."""
    places = st.tuples(st.integers(1, 3), st.integers(0, 3))
    live = draw(st.dictionaries(places, st.sampled_from(sorted(LIVE)), max_size=8))
    failed = draw(st.lists(places, max_size=6))
    ages = st.integers(0, 300).map(lambda seconds: NOW - timedelta(seconds=seconds))
    rows = []
    for number, (place, state) in enumerate([*live.items(), *((one, "failed") for one in failed)]):
        observed = state in ("starting", "ready")
        alive = draw(st.booleans()) if observed else None
        rows.append(
            Seen(
                key=f"r{number}",
                state=state,
                generation=place[0],
                index=place[1],
                alive=alive,
                ready=bool(alive) and state == "ready" and draw(st.booleans()),
                changed_at=draw(ages),
            )
        )
    return tuple(rows)


desires = st.builds(
    Desired, running=st.booleans(), replicas=st.integers(1, 3), generation=st.integers(1, 3)
)
rights = st.sampled_from(RIGHTS)


def keys_of(plan: Plan, act: str) -> set[str]:
    return {action.key for action in plan.actions if action.act == act}


def places_started(plan: Plan) -> list[int]:
    return [action.index for action in plan.actions if action.act == "start"]


@given(desires, replicas(), rights)
def test_nothing_starts_without_the_right_and_the_wish(
    desired: Desired, seen: tuple[Seen, ...], right: Right
) -> None:
    plan = reconcile(desired, seen, right=right, now=NOW)

    if right != "entitled" or not desired.running:
        assert places_started(plan) == []
        assert keys_of(plan, "stop") == {one.key for one in seen if one.state in LIVE}
        assert plan.phase == {"ended": "ended"}.get(
            right, "failed" if desired.running else "stopped"
        )


@given(desires, replicas(), rights)
def test_there_are_never_more_than_wanted_of_the_wanted_generation(
    desired: Desired, seen: tuple[Seen, ...], right: Right
) -> None:
    plan = reconcile(desired, seen, right=right, now=NOW)

    started = places_started(plan)
    taken = {
        one.index for one in seen if one.state in LIVE and one.generation == desired.generation
    }
    assert len(set(started)) == len(started)
    assert set(started) <= set(range(desired.replicas)) - taken


@given(desires, replicas())
def test_what_served_before_is_stopped_only_once_the_new_is_complete(
    desired: Desired, seen: tuple[Seen, ...]
) -> None:
    running = replace(desired, running=True)
    plan = reconcile(running, seen, right="entitled", now=NOW)

    stopped = keys_of(plan, "stop")
    old = {
        one.key
        for one in seen
        if one.state in ("pending", "starting", "ready") and one.generation != running.generation
    }
    ready = [
        one
        for one in seen
        if one.ready and one.generation == running.generation and one.index < running.replicas
    ]
    if len(ready) < running.replicas:
        assert not stopped & old
    else:
        assert old <= stopped | keys_of(plan, "fail")
        assert plan.phase == "ready"


@given(desires, replicas(), rights)
def test_a_replica_that_somebody_began_to_stop_is_stopped(
    desired: Desired, seen: tuple[Seen, ...], right: Right
) -> None:
    plan = reconcile(desired, seen, right=right, now=NOW)

    assert {one.key for one in seen if one.state == "stopping"} <= keys_of(plan, "stop")


@given(desires, replicas(), rights)
def test_every_action_names_one_live_replica_once(
    desired: Desired, seen: tuple[Seen, ...], right: Right
) -> None:
    plan = reconcile(desired, seen, right=right, now=NOW)

    named = [action.key for action in plan.actions if action.act != "start"]
    assert len(set(named)) == len(named)
    assert set(named) <= {one.key for one in seen if one.state in LIVE}


@given(desires, replicas())
def test_a_place_is_not_started_again_too_soon_or_too_often(
    desired: Desired, seen: tuple[Seen, ...]
) -> None:
    plan = reconcile(replace(desired, running=True), seen, right="entitled", now=NOW)

    failed = [one for one in seen if one.state == "failed" and one.generation == desired.generation]
    if places_started(plan) and failed:
        assert len(failed) < MAX_ATTEMPTS
        assert max(one.changed_at for one in failed) + backoff(len(failed)) <= NOW


def seen(state: str, **fields: object) -> Seen:
    values = {"key": "r", "generation": 1, "index": 0, "alive": True, "changed_at": NOW}
    return Seen(**{**values, "state": state, **fields})  # type: ignore[arg-type]


def planned(*rows: Seen, replicas: int = 1, seconds: float = 0) -> Plan:
    desired = Desired(running=True, replicas=replicas, generation=1)
    return reconcile(desired, rows, right="entitled", now=NOW + timedelta(seconds=seconds))


def test_waiting_doubles_up_to_a_minute() -> None:
    assert [backoff(n).total_seconds() for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_failed_start_waits_and_is_then_tried_again() -> None:
    failed = seen("failed", reason="no memory")

    assert places_started(planned(failed, seconds=0.9)) == []
    assert "no memory" in planned(failed, seconds=0.9).message
    assert places_started(planned(failed, seconds=1)) == [0]


def test_a_crash_loop_beside_a_healthy_replica_waits_too() -> None:
    healthy = seen("ready", key="a", ready=True)
    failed = seen("failed", key="b", index=1)

    assert places_started(planned(healthy, failed, replicas=2, seconds=0.5)) == []
    assert places_started(planned(healthy, failed, replicas=2, seconds=1)) == [1]
    assert planned(healthy, failed, replicas=2).phase == "degraded"


def test_after_five_failures_it_is_given_up() -> None:
    failed = [seen("failed", key=f"r{n}", reason="no memory") for n in range(MAX_ATTEMPTS)]
    plan = planned(*failed, seconds=600)

    assert (plan.actions, plan.phase) == ((), "failed")
    assert "given up after 5 tries: no memory" in plan.message
    assert places_started(planned(*failed[:-1], seconds=600)) == [0]


def test_failures_of_an_older_generation_do_not_count() -> None:
    failed = [seen("failed", key=f"r{n}", generation=0) for n in range(MAX_ATTEMPTS)]

    assert places_started(planned(*failed)) == [0]


@pytest.mark.parametrize("state", ["starting", "ready"])
def test_a_replica_whose_process_ended_has_failed(state: str) -> None:
    (action,) = planned(seen(state, alive=False, reason="killed")).actions

    assert (action.act, action.key, action.reason) == ("fail", "r", "killed")


@pytest.mark.parametrize(("state", "alive"), [("starting", True), ("pending", None)])
def test_a_replica_that_does_not_come_up_in_time_has_failed(state: str, alive: bool | None) -> None:
    limit = START_DEADLINE.total_seconds()

    assert planned(seen(state, alive=alive), seconds=limit).actions == ()
    (action,) = planned(seen(state, alive=alive), seconds=limit + 1).actions
    assert (action.act, action.reason) == ("fail", f"not ready after {limit + 1:.0f} s")


def test_a_ready_replica_may_be_old() -> None:
    plan = planned(seen("ready", ready=True), seconds=1e6)

    assert (plan.actions, plan.phase) == ((), "ready")


def test_only_listed_moves_are_allowed_and_nothing_leaves_an_end() -> None:
    assert may_move("pending", "starting")
    assert not may_move("stopped", "starting")
    assert not may_move("unheard of", "ready")
    assert set(MOVES) == LIVE | OVER
    assert all(not MOVES[state] for state in OVER)
    assert all(not moves & {"pending", state} for state, moves in MOVES.items())

"""Compare what should run with what does, and say what to do next. Pure; the clock comes in.

Level-triggered: it looks at states only, never at what happened, so it may be asked at any time,
twice, or after a crash, and gives the same answer for the same states.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from deployer.domain.lifecycle import LIVE, STARTED

MAX_ATTEMPTS: Final = 5
START_DEADLINE: Final = timedelta(seconds=120)
_FIRST_BACKOFF: Final = timedelta(seconds=1)
_LONGEST_BACKOFF: Final = timedelta(seconds=60)

Phase = Literal["pending", "progressing", "ready", "degraded", "stopped", "ended", "failed"]
Right = Literal["entitled", "not_entitled", "ended"]
Act = Literal["start", "stop", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Say what should run: `replicas` of `generation`, or none when not `running`."""

    running: bool
    replicas: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Say what one replica row and its process look like now; `alive` None means not asked."""

    key: str
    state: str
    generation: int
    index: int
    alive: bool | None = None
    ready: bool = False
    changed_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Do one thing: start a replica at a place, or stop or fail the replica `key`."""

    act: Act
    key: str = ""
    index: int = -1
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """List what to do, in order, and what phase the endpoint is in."""

    actions: tuple[Action, ...]
    phase: Phase
    message: str


def backoff(failures: int) -> timedelta:
    """Return how long to wait after this many failures in a row: 1 s doubling up to 60 s."""
    doublings = min(max(0, failures - 1), 10)
    return min(_FIRST_BACKOFF * (1 << doublings), _LONGEST_BACKOFF)


def reconcile(desired: Desired, seen: tuple[Seen, ...], *, right: Right, now: datetime) -> Plan:
    """Plan the next moves of one endpoint.

    Laws: without entitlement nothing is started and everything live is stopped; never more than
    `replicas` live replicas of the wanted generation; an old generation is stopped only when the
    new one is ready.
    """
    live = [one for one in seen if one.state in LIVE]
    if right != "entitled" or not desired.running:
        return _stand_down(live, desired, right)
    dead = [
        Action(act="fail", key=one.key, reason=_death(one, now))
        for one in live
        if _is_dead(one, now)
    ]
    gone = {action.key for action in dead}
    wanted = [
        one
        for one in live
        if one.generation == desired.generation and one.key not in gone and one.state != "stopping"
    ]
    keep = [one for one in wanted if one.index < desired.replicas]
    surplus = [one for one in wanted if one.index >= desired.replicas]
    starts, blocked = _starts(desired, seen, now)
    is_complete = sum(one.ready for one in keep) >= desired.replicas
    old = [one for one in live if one.generation != desired.generation and one.key not in gone]
    # Whoever began to stop one may have died before the end of it.
    stopping = [one for one in live if one.state == "stopping"]
    serving_old = [one for one in old if one.state != "stopping"]
    stops = stopping + surplus + (serving_old if is_complete else [])
    actions = [
        *dead,
        *starts,
        *(Action(act="stop", key=one.key, reason="replaced") for one in stops),
    ]
    phase, message = _phase(desired, keep, old, blocked, is_complete=is_complete)
    return Plan(actions=tuple(actions), phase=phase, message=message)


def _stand_down(live: list[Seen], desired: Desired, right: Right) -> Plan:
    reason = {"ended": "the licence ended", "not_entitled": "no approval in force"}
    why = reason.get(right, "stopped by an operator")
    actions = tuple(Action(act="stop", key=one.key, reason=why) for one in live)
    if right == "ended":
        return Plan(actions=actions, phase="ended", message=why)
    if not desired.running:
        return Plan(actions=actions, phase="stopped", message="" if not live else "stopping")
    return Plan(actions=actions, phase="failed", message=why)


def _is_dead(one: Seen, now: datetime) -> bool:
    is_late = now - one.changed_at > START_DEADLINE
    if one.state == "pending":
        # Its starter died between writing the row and noting the process, or it still copies.
        return is_late
    if one.state not in STARTED:
        return False
    return one.alive is False or (one.state == "starting" and is_late and not one.ready)


def _death(one: Seen, now: datetime) -> str:
    if one.alive is False:
        return one.reason or "the process ended"
    return f"not ready after {(now - one.changed_at).total_seconds():.0f} s"


def _starts(desired: Desired, seen: tuple[Seen, ...], now: datetime) -> tuple[list[Action], str]:
    """Return the places to start at, and why some must wait or are given up."""
    taken = {
        one.index for one in seen if one.state in LIVE and one.generation == desired.generation
    }
    failures = sorted(
        (one for one in seen if one.state == "failed" and one.generation == desired.generation),
        key=lambda one: one.changed_at,
    )
    free = [index for index in range(desired.replicas) if index not in taken]
    if not free or not failures:
        return [Action(act="start", index=index) for index in free], ""
    last = failures[-1]
    if len(failures) >= MAX_ATTEMPTS:
        return [], f"given up after {len(failures)} tries: {last.reason}"
    if now < last.changed_at + backoff(len(failures)):
        return [], f"waiting after {len(failures)} failed: {last.reason}"
    return [Action(act="start", index=index) for index in free], ""


def _phase(
    desired: Desired, keep: list[Seen], old: list[Seen], blocked: str, *, is_complete: bool
) -> tuple[Phase, str]:
    ready = sum(one.ready for one in keep)
    if is_complete:
        return "ready", ""
    if blocked.startswith("given up") and not ready:
        return "failed", blocked
    if ready or any(one.state == "ready" for one in old):
        return "degraded", blocked or f"{ready} of {desired.replicas} ready"
    return "progressing", blocked or "starting"

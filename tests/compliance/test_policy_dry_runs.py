"""Check what a dry run says, and what is left to workers."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from compliance import policy_tasks, receivers
from compliance.models import Assessment, PolicyDryRun
from compliance.services import policies, policy_dry_runs, policy_hints
from compliance.services.assess import assess
from registry.keys import make_key
from tests.compliance.acting_policies import approved, document, in_force, save
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Any) -> None:
    settings.LICTOR_KEYS = tmp_path
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def test_a_dry_run_counts_and_names_each_change_and_writes_nothing_else(cast: Cast) -> None:
    review = approved(cast, "acme/approved")
    inside = {**USE, "purposes": ["internal"]}
    assess(make_checkpoint(cast, "acme/inside"), inside, actor="test")
    make_checkpoint(cast, "acme/unjudged")
    row = save(cast, document())
    before = list(Assessment.objects.order_by("pk").values())

    run = policy_dry_runs.start(row, actor=cast.legal)

    result = run.result
    assert run.state == "done"
    assert {name: result[name] for name in ("total", "changed", "stricter", "milder")} == {
        "total": 2,
        "changed": 1,
        "stricter": 1,
        "milder": 0,
    }
    assert (result["not_judged"], result["approvals_ended"]) == (1, 1)
    assert result["rules"] == [{"rule": "policy:house", "count": 1}]
    [line] = result["changes"]
    assert (line["name"], line["after"], line["raised"]) == (
        "acme/approved",
        "deny",
        ["policy:house"],
    )
    review.refresh_from_db()
    assert review.state == "approved"
    assert list(Assessment.objects.order_by("pk").values()) == before


def test_a_dry_run_says_what_activation_then_does(cast: Cast) -> None:
    in_force(cast, document("condition"))
    kept, ended = approved(cast, "acme/kept"), approved(cast, "acme/ended")
    inside = {**USE, "purposes": ["hosted_service", "internal"]}
    assess(ended.checkpoint, inside, actor="test")
    text = document("condition") + (
        "  - {id: named, when: 'subject.id == \"acme/ended\"', then: needs_review, because: B.}\n"
    )
    row = save(cast, text)

    run = policy_dry_runs.start(row, actor=cast.security)
    policies.activate(row, actor=cast.security)

    assert sorted((one["name"], one["ends_approval"]) for one in run.result["changes"]) == [
        ("acme/ended", False),
        ("acme/ended", True),
    ]
    assert run.result["approvals_ended"] == 1
    for review, state in ((kept, "approved"), (ended, "stale")):
        review.refresh_from_db()
        assert review.state == state


def _long_inventory(cast: Cast, monkeypatch: Any) -> PolicyDryRun:
    for at in range(3):
        assess(make_checkpoint(cast, f"acme/m{at}"), USE, actor="test")
    monkeypatch.setattr(policy_dry_runs, "AT_ONCE", 2)
    return policy_dry_runs.start(save(cast, document()), actor=cast.legal)


def test_a_long_inventory_waits_for_a_worker_and_shows_progress(
    cast: Cast, monkeypatch: Any
) -> None:
    run = _long_inventory(cast, monkeypatch)
    assert (run.state, run.done, run.total) == ("queued", 0, 3)

    policy_tasks.dry_run(str(run.pk))
    policy_tasks.dry_run(str(run.pk))

    run.refresh_from_db()
    assert (run.state, run.done, run.total, run.attempts) == ("done", 3, 3, 1)
    assert run.result["changed"] == 3


def test_a_run_whose_worker_vanished_is_taken_up_and_given_up_in_the_end(
    cast: Cast, monkeypatch: Any
) -> None:
    run = _long_inventory(cast, monkeypatch)
    now = timezone.now()
    rows = PolicyDryRun.objects.filter(pk=run.pk)
    rows.update(state="running", attempts=1, lease_expires_at=now + timedelta(seconds=5))

    assert policy_dry_runs.waiting_runs(now) == []
    assert not policy_dry_runs.work(run.pk, now=now)
    late = now + timedelta(seconds=6)
    assert policy_dry_runs.waiting_runs(late) == [run.pk]

    rows.update(attempts=policy_dry_runs.MAX_ATTEMPTS)
    assert not policy_dry_runs.work(run.pk, now=late)
    run.refresh_from_db()
    assert run.state == "failed"


def test_a_worker_that_lost_its_lease_writes_nothing(cast: Cast, monkeypatch: Any) -> None:
    run = _long_inventory(cast, monkeypatch)
    original = policy_dry_runs.collect

    def slow(*given: Any, **named: Any) -> Any:
        PolicyDryRun.objects.filter(pk=run.pk).update(attempts=7)
        return original(*given, **named)

    monkeypatch.setattr(policy_dry_runs, "collect", slow)

    assert not policy_dry_runs.work(run.pk)
    run.refresh_from_db()
    assert (run.state, run.result) == ("running", None)


def test_a_large_inventory_is_judged_again_by_the_sweep_but_approvals_at_once(
    cast: Cast, monkeypatch: Any
) -> None:
    review = approved(cast, "acme/approved")
    waiting = make_checkpoint(cast, "acme/waiting")
    assess(waiting, USE, actor="test")
    monkeypatch.setattr(policies, "AT_ONCE", 1)

    row = in_force(cast, document())

    review.refresh_from_db()
    assert review.state == "stale"
    rest = Assessment.objects.filter(checkpoint=waiting, is_current=True)
    assert rest.get().policy_digest == ""
    assert policy_tasks.sweep_policies() == 1
    assert rest.get().policy_digest == row.rules_digest
    assert policy_tasks.sweep_policies() == 0


def test_the_sweep_also_judges_again_after_a_policy_is_retired(
    cast: Cast, monkeypatch: Any
) -> None:
    row = in_force(cast, document())
    checkpoint = make_checkpoint(cast, "acme/model")
    assess(checkpoint, USE, actor="test")
    monkeypatch.setattr(policies, "AT_ONCE", 0)

    policies.retire(row, actor=cast.legal)

    assert policy_tasks.sweep_policies() == 1
    assert Assessment.objects.get(checkpoint=checkpoint, is_current=True).policy_digest == ""


def test_workers_are_hurried_to_what_waits_and_a_lost_hint_breaks_nothing(
    cast: Cast, monkeypatch: Any, django_capture_on_commit_callbacks: Any
) -> None:
    hurried: list[tuple[str, Any]] = []
    for work in (policy_hints.DRY_RUN, policy_hints.JUDGE_AGAIN):
        monkeypatch.setitem(
            policy_hints._senders, work, lambda pk, work=work: hurried.append((work, pk))
        )
    monkeypatch.setattr(policies, "AT_ONCE", 0)

    with django_capture_on_commit_callbacks(execute=True):
        run = _long_inventory(cast, monkeypatch)
        policies.activate(run.policy, actor=cast.security)

    assert (policy_hints.DRY_RUN, run.pk) in hurried
    assert (policy_hints.JUDGE_AGAIN, cast.organisation.pk) in hurried

    def broken(pk: Any) -> None:
        raise ConnectionError(pk)

    monkeypatch.setitem(policy_hints._senders, policy_hints.DRY_RUN, broken)
    with django_capture_on_commit_callbacks(execute=True):
        again = policy_dry_runs.start(run.policy, actor=cast.legal)
    assert again.state == "queued"
    assert again.pk in policy_dry_runs.waiting_runs(timezone.now())


def test_the_room_names_its_workers_when_it_is_ready() -> None:
    assert policy_hints._senders[policy_hints.DRY_RUN] is receivers.on_dry_run_queued
    assert policy_hints._senders[policy_hints.JUDGE_AGAIN] is receivers.on_policy_moved

"""Guards: registered, measured as a substitute, bound to approvals, retired."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance.evidence import measure
from compliance.evidence.guardrail import Outcome
from compliance.evidence.reading import read_message
from compliance.evidence.replacement import Measured, judge_guarded
from compliance.evidence.suite import load_suite, read_suite
from compliance.models import Evidence, Guard, Review
from compliance.selectors import entitlement
from compliance.selectors_guards import required_guards
from compliance.services import evidence, guards, measurements, reviews
from compliance.services.assess import assess
from compliance.services.pins import pin_licence
from registry.errors import BadInput, Conflict, Duplicate, RoleMissing
from registry.keys import make_key, private_key
from registry.models import Checkpoint, LedgerEntry
from tests.build import client_of, make_approval
from tests.compliance.building import NVIDIA, USE, Cast, make_cast, make_checkpoint
from tests.compliance.test_evidence import (
    StandIn,
    guarded,
    lay_out,
    suite_bytes,
    unguarded,
)

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "demo" / "guard.json").read_text())
KEPT = Outcome("retained", "Kept.", {"off": {}})
LOST = Outcome("removed", "Gone.", {"off": {}})
FEWER = Outcome("reduced", "Fewer.", {"off": {}})
UNTOLD = Outcome("inconclusive", "Too few.", {"off": {}})


@pytest.fixture
def cast(db: None, settings: Any, tmp_path: Path) -> Cast:
    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")
    return make_cast()


@pytest.fixture
def guard(cast: Cast) -> Guard:
    return guards.register(cast.organisation, document=DOCUMENT, actor=cast.security)


@pytest.fixture
def child(cast: Cast) -> Checkpoint:
    base = make_checkpoint(cast, "nvidia/base", license="other")
    Checkpoint.objects.filter(pk=base.pk).update(
        declared=base.declared | {"license_name": "nvidia-open-model-license"}
    )
    pin_licence(base, licence_key=NVIDIA, reason="The card's date.", actor=cast.legal)
    return make_checkpoint(cast, "acme/tuned", parent=base)


def measured(
    cast: Cast, child: Checkpoint, alone: Outcome, behind: Outcome | None, guard: Guard | None
) -> Evidence:
    """Have a job done whose figures are given."""
    job = measurements.request_measurement(child, actor=cast.security, guard=guard)
    held = measurements.claim(job.pk, timezone.now())
    assert held is not None
    found = Measured(alone=alone, guarded=behind)
    suite = load_suite(job.suite)
    return measurements.finish(held, suite, found, started_at=timezone.now())


def decision(cast: Cast, child: Checkpoint) -> str:
    return assess(child, USE, actor="test").decision


class TestRegistering:
    def test_a_guard_is_kept_under_its_digest_and_noted(self, cast: Cast, guard: Guard) -> None:
        entry = LedgerEntry.objects.get(action="guard.registered")

        assert (guard.name, entry.subject) == ("demo-rules", guard.digest)
        assert guard.document == DOCUMENT

    def test_only_a_security_reviewer_registers_or_retires(self, cast: Cast, guard: Guard) -> None:
        for person in (cast.legal, cast.operator, cast.submitter):
            with pytest.raises(RoleMissing):
                guards.register(cast.organisation, document=DOCUMENT, actor=person)
            with pytest.raises(RoleMissing):
                guards.retire(guard, reason="x", actor=person)

    def test_the_same_guard_is_registered_once(self, cast: Cast, guard: Guard) -> None:
        turned = dict(reversed(DOCUMENT.items()))
        with pytest.raises(Duplicate):
            guards.register(cast.organisation, document=turned, actor=cast.security)

        guards.retire(guard, reason="Weak.", actor=cast.security)
        with pytest.raises(Duplicate, match="retired"):
            guards.register(cast.organisation, document=DOCUMENT, actor=cast.security)

    def test_a_broken_guard_is_refused_with_every_fault(self, cast: Cast) -> None:
        with pytest.raises(BadInput) as refusal:
            guards.register(
                cast.organisation,
                document=DOCUMENT | {"name": "", "surplus": 1},
                actor=cast.security,
            )

        assert {fault.place for fault in refusal.value.faults} == {"name", "surplus"}
        assert not Guard.objects.exists()


class TestApi:
    def test_a_guard_is_registered_read_and_retired(self, cast: Cast) -> None:
        client = client_of(cast.organisation, cast.security)
        made = client.post("/api/v1/guards/", {"document": DOCUMENT}, format="json")
        assert made.status_code == 201, made.content
        one = f"/api/v1/guards/{made.json()['id']}/"
        gone = client.post(one + "retire/", {"reason": "Replaced by a better one."}, format="json")

        assert client.get(one).json()["document"] == DOCUMENT
        assert gone.json()["retired_by"] == cast.security.username
        assert len(client.get("/api/v1/guards/").json()["results"]) == 1

    def test_another_organisation_sees_nothing_of_it(self, cast: Cast, guard: Guard) -> None:
        other = make_cast("other")
        client = client_of(other.organisation, other.security)

        assert client.get(f"/api/v1/guards/{guard.pk}/").status_code == 404
        assert client.get("/api/v1/guards/").json()["results"] == []
        body = {"checkpoint": str(make_checkpoint(other, "other/m").pk), "guard": str(guard.pk)}
        asked = client.post("/api/v1/evidence/measure/", body, format="json")
        assert asked.status_code == 404

    def test_a_viewer_may_not_register(self, cast: Cast) -> None:
        client = client_of(cast.organisation, cast.submitter)
        answer = client.post("/api/v1/guards/", {"document": DOCUMENT}, format="json")

        assert answer.status_code == 403

    def test_a_measurement_behind_a_guard_can_be_asked_for(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        client = client_of(cast.organisation, cast.security)
        body = {"checkpoint": str(child.pk), "guard": str(guard.pk)}
        asked = client.post("/api/v1/evidence/measure/", body, format="json")

        assert (asked.status_code, asked.json()["guard"]) == (202, str(guard.pk))


@pytest.mark.parametrize(
    ("alone", "behind", "result"),
    [
        (LOST, KEPT, "replaced"),
        (FEWER, KEPT, "replaced"),
        (KEPT, KEPT, "retained"),
        (UNTOLD, KEPT, "inconclusive"),
        (LOST, FEWER, "reduced"),
        (LOST, LOST, "removed"),
        (LOST, UNTOLD, "inconclusive"),
        (KEPT, LOST, "removed"),
    ],
)
def test_a_guard_replaces_only_what_was_lost_without_it_and_is_there_with_it(
    alone: Outcome, behind: Outcome, result: str
) -> None:
    assert judge_guarded(alone, behind).result == result


class Guarding(StandIn):
    """Stand for the runtime and, in front of it, for a guard that knows one word."""

    @contextmanager
    def guarding(self, guard: Any, upstream: str, work: Path, keep_alive: Any) -> Iterator[str]:
        self.answers["guard"] = guarded
        (work / "guard").mkdir()
        (work / "guard" / "model.txt").write_text(guard["name"])
        with self.serving(work / "guard", work, "guard", keep_alive) as url:
            yield url


def test_a_measurement_asks_alone_and_behind_the_guard(tmp_path: Path) -> None:
    runner = Guarding(base=guarded, derived=unguarded)
    seen: list[int] = []
    found = measure.measure(
        read_suite(suite_bytes(), name="tiny"),
        base=lay_out("b"),
        derived=lay_out("d"),
        work=tmp_path / "job",
        runner=runner,
        report=lambda done, _: seen.append(done),
        guard=DOCUMENT,
    )

    assert found.guarded is not None
    assert (found.alone.result, found.guarded.result) == ("removed", "retained")
    assert runner.served == ["b", "d", "demo-rules"]
    assert seen[-1] == 3 * 90


def test_what_a_guard_withheld_counts_as_refused() -> None:
    choice = {"finish_reason": "content_filter", "message": {"content": "Blocked by house rules"}}
    reading = read_message(choice, None)

    assert (reading.refused, reading.withheld) == (True, True)


class TestEvidence:
    def test_two_signed_records_are_left_and_the_second_names_the_guard(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        row = measured(cast, child, LOST, KEPT, guard)
        alone = Evidence.objects.get(guard=None, checkpoint=child)
        key = private_key("ledger").public_key()

        assert (alone.result, row.result, row.guard) == ("removed", "replaced", guard)
        assert row.record["guard"] == row.record["body"]["guard_digest"] == guard.digest
        assert row.record["body"]["control"]["verdict"] == "removed"
        assert "guard" not in alone.record
        assert evidence.is_genuine(row, key)
        assert evidence.is_genuine(alone, key)

    def test_a_replacement_lets_pass_what_a_loss_alone_denied(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        measured(cast, child, LOST, None, None)
        assert decision(cast, child) == "deny"

        measured(cast, child, LOST, KEPT, guard)
        assert decision(cast, child) != "deny"

    def test_an_approval_on_a_replacement_asks_for_its_guard(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        measured(cast, child, LOST, KEPT, guard)

        assert required_guards(make_approval(cast, child)) == (guard,)

    def test_what_kept_its_refusals_alone_asks_for_no_guard(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        measured(cast, child, KEPT, KEPT, guard)

        assert required_guards(make_approval(cast, child)) == ()

    def test_a_later_failure_behind_the_guard_ends_the_approval(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        measured(cast, child, LOST, KEPT, guard)
        review = make_approval(cast, child)
        measured(cast, child, LOST, FEWER, guard)

        review.refresh_from_db()
        assert review.state == Review.State.STALE
        assert decision(cast, child) == "deny"

    def test_retiring_the_guard_ends_the_approval_that_rests_on_it(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        measured(cast, child, LOST, KEPT, guard)
        review = make_approval(cast, child)
        guards.retire(guard, reason="A way round it was found.", actor=cast.security)

        review.refresh_from_db()
        assert review.state == Review.State.STALE
        assert getattr(entitlement(review, child, timezone.now()), "code", "") == "review_stale"
        assert decision(cast, child) == "deny"
        with pytest.raises(Conflict):
            measurements.request_measurement(child, actor=cast.security, guard=guard)

    def test_another_guard_that_fails_takes_nothing_from_one_that_holds(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        other = guards.register(
            cast.organisation, document=DOCUMENT | {"name": "weaker"}, actor=cast.security
        )
        measured(cast, child, LOST, KEPT, guard)
        review = make_approval(cast, child)
        measured(cast, child, LOST, LOST, other)

        review.refresh_from_db()
        assert required_guards(review) == (guard,)
        assert decision(cast, child) != "deny"

    def test_a_measurement_behind_a_guard_is_made_anew_each_time(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        first = measured(cast, child, LOST, KEPT, guard)
        second = measured(cast, child, LOST, KEPT, guard)

        assert first.pk != second.pk

    def test_open_jobs_alone_and_behind_a_guard_stand_side_by_side(
        self, cast: Cast, guard: Guard, child: Checkpoint
    ) -> None:
        alone = measurements.request_measurement(child, actor=cast.security)
        behind = measurements.request_measurement(child, actor=cast.security, guard=guard)
        again = measurements.request_measurement(child, actor=cast.security, guard=guard)

        assert alone.pk != behind.pk
        assert again.pk == behind.pk


def test_a_review_of_a_replacement_shows_what_it_rests_on(
    cast: Cast, guard: Guard, child: Checkpoint
) -> None:
    row = measured(cast, child, LOST, KEPT, guard)
    review = reviews.open_review(child, USE, actor=cast.asker)
    found = [
        item["reference"]
        for finding in review.assessment.report["findings"]
        for item in finding["evidence"]
    ]

    assert row.record_digest in found

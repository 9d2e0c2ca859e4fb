"""Check who may decide in a review, on what sight, and what an approval needs."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from compliance import selectors
from compliance.models import Decision, Review
from compliance.services import evidence, pins, reviews, waivers
from registry.errors import (
    BadInput,
    Conflict,
    Duplicate,
    RoleMissing,
    SeparationOfDuties,
    StaleReview,
    StaleState,
)
from registry.keys import make_key
from registry.models import LedgerEntry, Membership, OutboxEvent
from tests.compliance.building import NVIDIA, USE, Cast, make_cast, make_checkpoint, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Any) -> None:
    settings.LICTOR_KEYS = tmp_path
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def review(cast: Cast) -> Review:
    return reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)


def _vote(review: Review, stage: str, actor: Any, verdict: str = "approve", **more: Any) -> Review:
    review.refresh_from_db()
    fields = {"seen_digest": review.seen_digest, **more}
    return reviews.decide(review, stage=stage, verdict=verdict, actor=actor, **fields)


def _approve(cast: Cast, review: Review) -> Review:
    _vote(review, "legal", cast.legal)
    return _vote(review, "security", cast.security)


def _actions() -> list[str]:
    return list(LedgerEntry.objects.order_by("seq").values_list("action", flat=True))


def test_two_people_in_two_stages_approve(cast: Cast, review: Review) -> None:
    assert _vote(review, "legal", cast.legal).state == "open"

    approved = _vote(review, "security", cast.security)

    assert approved.state == "approved"
    assert approved.expires_at - approved.closed_at == timedelta(days=365)
    assert _actions()[-2:] == ["review.decided", "review.approved"]
    event = OutboxEvent.objects.get(topic="standing_changed")
    assert event.key == str(review.checkpoint_id)


def test_an_approval_entitles_to_serve_until_it_expires(cast: Cast, review: Review) -> None:
    approved = _approve(cast, review)
    checkpoint = approved.checkpoint

    now = selectors.entitlement(approved, checkpoint, timezone.now())
    later = selectors.entitlement(approved, checkpoint, approved.expires_at)

    assert isinstance(now, selectors.Entitled)
    assert now.decision == str(approved.pk)
    assert later == selectors.NotEntitled("review_expired", later.detail)


def test_without_an_approval_nobody_is_entitled(cast: Cast, review: Review) -> None:
    checkpoint = review.checkpoint

    assert selectors.entitlement(review, checkpoint, timezone.now()).code == "review_open"
    assert selectors.entitlement(None, checkpoint, timezone.now()).code == "no_approval"


def test_an_approval_of_another_checkpoint_does_not_count(cast: Cast, review: Review) -> None:
    other = make_checkpoint(cast, "acme/other")
    approved = _approve(cast, review)

    assert selectors.entitlement(approved, other, timezone.now()).code == "wrong_checkpoint"


def test_whoever_submitted_cannot_approve(cast: Cast, review: Review) -> None:
    row = Membership.objects.get(user=cast.submitter)
    row.roles = ["submitter", "legal_reviewer"]
    row.save()

    with pytest.raises(SeparationOfDuties, match="submitted"):
        _vote(review, "legal", cast.submitter)


def test_whoever_opened_the_review_cannot_approve(cast: Cast, review: Review) -> None:
    Membership.objects.filter(user=cast.asker).update(roles=["submitter", "legal_reviewer"])

    with pytest.raises(SeparationOfDuties, match="opened this review"):
        _vote(review, "legal", cast.asker)


def test_one_person_cannot_fill_both_stages(cast: Cast, review: Review) -> None:
    both = make_person(cast.organisation, "both", "legal_reviewer", "security_reviewer")
    _vote(review, "legal", both)

    with pytest.raises(SeparationOfDuties, match="one person, one stage"):
        _vote(review, "security", both)


@pytest.mark.parametrize(
    ("stage", "who"),
    [("legal", "security"), ("security", "legal"), ("legal", "operator"), ("security", "operator")],
)
def test_a_stage_needs_its_role(cast: Cast, review: Review, stage: str, who: str) -> None:
    with pytest.raises(RoleMissing):
        _vote(review, stage, getattr(cast, who))

    assert not Decision.objects.exists()


def test_a_reviewer_of_another_organisation_has_no_role_here(cast: Cast, review: Review) -> None:
    stranger = make_cast("other").legal

    with pytest.raises(RoleMissing):
        _vote(review, "legal", stranger)


def test_a_vote_on_what_was_not_seen_is_refused(cast: Cast, review: Review) -> None:
    with pytest.raises(StaleReview):
        _vote(review, "legal", cast.legal, seen_digest="sha256:" + "0" * 64)


def test_a_stage_is_decided_once(cast: Cast, review: Review) -> None:
    second = make_person(cast.organisation, "second", "legal_reviewer")
    _vote(review, "legal", cast.legal)

    with pytest.raises(Conflict) as caught:
        _vote(review, "legal", second)

    assert caught.value.code == "stage_decided"


def test_a_refusal_needs_a_reason_and_closes_the_review(cast: Cast, review: Review) -> None:
    with pytest.raises(BadInput):
        _vote(review, "legal", cast.legal, "refuse")

    refused = _vote(review, "legal", cast.legal, "refuse", comment="The use is not covered.")

    assert refused.state == "refused"
    with pytest.raises(Conflict, match="takes no more votes"):
        _vote(review, "security", cast.security)


def test_a_question_leaves_the_review_open_and_the_stage_free(cast: Cast, review: Review) -> None:
    _vote(review, "legal", cast.legal, "ask", comment="Who are the users?")

    assert _vote(review, "legal", cast.legal).state == "open"
    assert _vote(review, "security", cast.security).state == "approved"


def test_what_the_assessment_denies_nobody_approves(cast: Cast) -> None:
    checkpoint = make_checkpoint(cast, "acme/nc", license="cc-by-nc-4.0")
    review = reviews.open_review(checkpoint, USE, actor=cast.asker)

    with pytest.raises(Conflict, match="noncommercial") as caught:
        _vote(review, "legal", cast.legal)

    assert caught.value.code == "assessment_denies"


def _derivative(cast: Cast) -> Review:
    base = make_checkpoint(cast, "acme/base", license="other")
    child = make_checkpoint(cast, "acme/child", parent=base, license="other")
    for row in (base, child):
        pins.pin_licence(row, licence_key=NVIDIA, reason="Read at intake.", actor=cast.legal)
    return reviews.open_review(child, USE, actor=cast.asker)


def test_an_open_finding_must_be_settled_by_the_stage_that_owns_it(cast: Cast) -> None:
    review = _derivative(cast)
    _vote(review, "legal", cast.legal)

    with pytest.raises(Conflict, match="guardrail") as caught:
        _vote(review, "security", cast.security, conditions=["guardrail: yes"])

    assert caught.value.code == "findings_open"
    note = "guardrail: red-teamed by hand on 20 November, report 17"
    assert _vote(review, "security", cast.security, conditions=[note]).state == "approved"


def test_a_pin_moves_the_ground_and_makes_the_approval_stale(cast: Cast, review: Review) -> None:
    approved = _approve(cast, review)

    pins.pin_licence(approved.checkpoint, licence_key="mit", reason="Checked.", actor=cast.legal)

    approved.refresh_from_db()
    assert approved.state == "stale"
    assert "review.stale" in _actions()
    refused = selectors.entitlement(approved, approved.checkpoint, timezone.now())
    assert refused.code == "review_stale"
    assert OutboxEvent.objects.filter(topic="standing_changed").count() == 2


def test_new_evidence_makes_the_approval_stale(cast: Cast, review: Review) -> None:
    approved = _approve(cast, review)

    evidence.attest(
        approved.checkpoint,
        kind="acceptable_use",
        result="confirmed",
        summary="Policy read.",
        actor=cast.legal,
    )

    approved.refresh_from_db()
    assert approved.state == "stale"


def test_evidence_about_an_ancestor_makes_the_approval_stale(cast: Cast) -> None:
    base = make_checkpoint(cast, "acme/base")
    child = make_checkpoint(cast, "acme/child", parent=base)
    approved = _approve(cast, reviews.open_review(child, USE, actor=cast.asker))

    evidence.attest(
        base, kind="acceptable_use", result="confirmed", summary="Read.", actor=cast.legal
    )

    approved.refresh_from_db()
    assert approved.state == "stale"


def test_a_pin_binds_an_open_review_anew_and_old_votes_no_longer_count(
    cast: Cast, review: Review
) -> None:
    before = review.seen_digest
    _vote(review, "legal", cast.legal)

    pins.pin_licence(review.checkpoint, licence_key="mit", reason="Checked.", actor=cast.legal)

    with pytest.raises(StaleReview):
        _vote(review, "security", cast.security, seen_digest=before)
    assert _vote(review, "security", cast.security).state == "open"
    assert _vote(review, "legal", cast.legal).state == "approved"


def test_a_waiver_settles_a_finding_and_its_end_makes_the_approval_stale(cast: Cast) -> None:
    review = _derivative(cast)
    waiver = waivers.grant(
        review.checkpoint,
        rule="guardrail",
        licence_key="*",
        reason="Internal trial.",
        expires_at=timezone.now() + timedelta(days=5),
        actor=cast.legal,
    )
    approved = _approve(cast, review)
    assert approved.state == "approved"

    waivers.revoke(waiver, actor=cast.legal)

    approved.refresh_from_db()
    assert approved.state == "stale"
    with pytest.raises(StaleState):
        waivers.revoke(waiver, actor=cast.legal)


def test_a_second_review_of_the_same_use_is_refused(cast: Cast, review: Review) -> None:
    with pytest.raises(Duplicate):
        reviews.open_review(review.checkpoint, USE, actor=cast.submitter)


def test_an_expired_approval_gives_way_to_a_new_review(cast: Cast, review: Review) -> None:
    approved = _approve(cast, review)

    again = reviews.open_review(
        review.checkpoint, USE, actor=cast.asker, now=approved.expires_at + timedelta(seconds=1)
    )

    approved.refresh_from_db()
    assert (approved.state, again.state) == ("stale", "open")


def test_a_withdrawn_approval_no_longer_entitles(cast: Cast, review: Review) -> None:
    approved = _approve(cast, review)

    reviews.withdraw(approved, actor=cast.legal)

    found = selectors.entitlement(approved, approved.checkpoint, timezone.now())
    assert found.code == "review_withdrawn"
    with pytest.raises(StaleState):
        reviews.withdraw(approved, actor=cast.legal)


def test_a_failing_ledger_rolls_the_vote_back(
    cast: Cast, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the ledger is gone")

    monkeypatch.setattr(reviews, "append", broken)
    before = LedgerEntry.objects.count()

    with pytest.raises(OSError, match="ledger"):
        _vote(review, "legal", cast.legal)

    assert not Decision.objects.exists()
    assert LedgerEntry.objects.count() == before


@pytest.mark.parametrize("who", ["legal", "security", "operator"])
def test_only_a_submitter_opens_a_review(cast: Cast, who: str) -> None:
    with pytest.raises(RoleMissing):
        reviews.open_review(make_checkpoint(cast, "acme/x"), USE, actor=getattr(cast, who))


def test_a_move_that_another_made_first_is_not_made_again(
    cast: Cast, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    _vote(review, "legal", cast.legal)
    record = reviews._record

    def overtaken(*arguments: Any) -> None:
        record(*arguments)
        Review.objects.filter(pk=review.pk).update(version=F("version") + 1)

    monkeypatch.setattr(reviews, "_record", overtaken)
    with pytest.raises(StaleState):
        _vote(review, "security", cast.security)

    assert Review.objects.get().state == "open"
    assert "review.approved" not in _actions()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="an in-memory SQLite has one connection; run with DATABASE_URL of a PostgreSQL",
)
def test_of_two_people_at_once_one_decides_the_stage_and_one_move_is_made(cast: Cast) -> None:
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)
    second = make_person(cast.organisation, "second", "security_reviewer")
    _vote(review, "legal", cast.legal)
    start, outcomes = threading.Barrier(2), []

    def vote(person: Any) -> None:
        try:
            start.wait()
            outcomes.append(_vote(Review.objects.get(pk=review.pk), "security", person).state)
        except Conflict as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=vote, args=[one]) for one in (cast.security, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "approved" in outcomes
    assert set(outcomes) <= {"approved", "stage_decided", "review_closed"}
    assert outcomes.count("approved") == 1
    assert _actions().count("review.approved") == 1
    assert Decision.objects.filter(stage="security").count() == 1

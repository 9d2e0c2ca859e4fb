"""Check what a policy in force does to judgements, reviews and approvals."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from compliance import selectors
from compliance.models import Assessment, Review
from compliance.selectors_policies import policy_for
from compliance.services import policies, reviews, waivers
from compliance.services.assess import assess
from registry.errors import (
    BadInput,
    Conflict,
    SeparationOfDuties,
)
from registry.keys import make_key
from tests.compliance.acting_policies import approve, approved, document, in_force
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Any) -> None:
    settings.LICTOR_KEYS = tmp_path
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def test_a_judgement_is_made_under_the_policy_in_force_and_names_it(cast: Cast) -> None:
    checkpoint = make_checkpoint(cast, "acme/model")
    plain = assess(checkpoint, USE, actor="test")
    row = in_force(cast, document())

    judged = assess(checkpoint, USE, actor="test")

    assert (plain.policy_digest, judged.policy_digest) == ("", row.rules_digest)
    assert plain.input_digest != judged.input_digest
    assert judged.decision == "deny"
    assert assess(checkpoint, USE, actor="test") == judged


def test_another_organisations_policy_is_not_asked(cast: Cast) -> None:
    in_force(cast, document())
    other = make_cast("other")

    assert assess(make_checkpoint(other, "other/model"), USE, actor="test").policy_digest == ""


def test_an_approval_that_a_new_policy_denies_ends_with_its_activation(cast: Cast) -> None:
    review = approved(cast)

    in_force(cast, document())

    review.refresh_from_db()
    assert review.state == "stale"
    now = selectors.entitlement(review, review.checkpoint, timezone.now())
    assert now.code == "review_stale"


def test_an_approval_that_a_new_policy_does_not_touch_stays(cast: Cast) -> None:
    review = approved(cast)

    in_force(cast, document(when="!target.hosted"))

    review.refresh_from_db()
    assert review.state == "approved"
    current = Assessment.objects.get(checkpoint=review.checkpoint, is_current=True)
    assert current.policy_digest == policy_for(cast.organisation).rules_digest


@pytest.mark.parametrize(
    ("then", "because"), [("condition", "Other words."), ("approvers:1", "House rule.")]
)
def test_an_approval_ends_when_what_the_rules_say_here_changes(
    cast: Cast, then: str, because: str
) -> None:
    in_force(cast, document("condition"))
    review = approved(cast)

    in_force(cast, document(then, because=because))

    review.refresh_from_db()
    assert review.state == "stale"


def test_an_approval_outlives_a_version_that_says_the_same_here(cast: Cast) -> None:
    in_force(cast, document("condition"))
    review = approved(cast)
    other = "  - {id: other, when: '!target.hosted', then: deny, because: Another.}\n"

    in_force(cast, document("condition") + other)

    review.refresh_from_db()
    assert review.state == "approved"


def test_a_retired_policy_takes_its_conditions_and_the_approvals_on_them(cast: Cast) -> None:
    row = in_force(cast, document("condition"))
    review = approved(cast)

    policies.retire(row, actor=cast.legal)

    review.refresh_from_db()
    assert review.state == "stale"
    current = Assessment.objects.get(checkpoint=review.checkpoint, is_current=True)
    assert current.policy_digest == ""


def test_an_open_review_is_bound_anew(cast: Cast) -> None:
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)
    before = review.seen_digest

    in_force(cast, document("condition"))

    review.refresh_from_db()
    assert review.state == "open"
    assert review.seen_digest != before


def test_a_policy_finding_that_needs_review_is_settled_by_a_named_condition(cast: Cast) -> None:
    in_force(cast, document("needs_review"))
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)

    with pytest.raises(Conflict, match="policy:house"):
        reviews.decide(
            review,
            stage="legal",
            verdict="approve",
            seen_digest=review.seen_digest,
            actor=cast.legal,
        )

    assert approve(cast, review).state == "approved"


def test_nobody_approves_what_the_policy_denies(cast: Cast) -> None:
    in_force(cast, document())
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)

    with pytest.raises(Conflict, match="nobody can approve it: policy:house: House rule"):
        approve(cast, review)


def test_two_approvers_are_needed_in_each_stage_where_the_policy_asks(cast: Cast) -> None:
    in_force(cast, document("approvers:2"))
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)
    legal = make_person(cast.organisation, "lou", "legal_reviewer")
    security = make_person(cast.organisation, "sue", "security_reviewer")
    third = make_person(cast.organisation, "tim", "legal_reviewer")

    approve(cast, review)
    half = selectors.stages_of(review)
    assert review.state == "open"
    assert [(one["state"], one["approved"], one["needed"]) for one in half] == [
        ("waiting", 1, 2),
        ("waiting", 1, 2),
    ]

    reviews.decide(
        review, stage="legal", verdict="approve", seen_digest=review.seen_digest, actor=legal
    )
    with pytest.raises(Conflict, match="decided already"):
        reviews.decide(
            review, stage="legal", verdict="approve", seen_digest=review.seen_digest, actor=third
        )
    done = reviews.decide(
        review, stage="security", verdict="approve", seen_digest=review.seen_digest, actor=security
    )
    assert done.state == "approved"
    assert selectors.stages_of(done)[0]["by"] == "acme-lena, lou"


def test_one_person_is_not_two_approvers(cast: Cast) -> None:
    in_force(cast, document("approvers:2"))
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)
    approve(cast, review)

    with pytest.raises(Conflict, match="already decided"):
        reviews.decide(
            review,
            stage="legal",
            verdict="approve",
            seen_digest=review.seen_digest,
            actor=cast.legal,
        )


def test_a_safety_stage_is_a_third_person_who_settles_its_finding(cast: Cast) -> None:
    in_force(cast, document("stage:safety"))
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)
    third = make_person(cast.organisation, "sue", "security_reviewer")

    approve(cast, review)
    assert review.state == "open"

    def look(person: Any, *conditions: str) -> Review:
        fields = {"stage": "safety", "verdict": "approve", "seen_digest": review.seen_digest}
        return reviews.decide(review, **fields, conditions=conditions, actor=person)

    with pytest.raises(SeparationOfDuties):
        look(cast.security)
    with pytest.raises(Conflict, match="policy:house"):
        look(third)
    done = look(third, "policy:house: red-teamed on the 3rd of June")

    assert done.state == "approved"


def test_without_a_policy_nobody_votes_on_safety(cast: Cast) -> None:
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)

    with pytest.raises(BadInput, match="no stage 'safety'"):
        reviews.decide(
            review,
            stage="safety",
            verdict="approve",
            seen_digest=review.seen_digest,
            actor=cast.security,
        )


def test_a_waivers_granted_days_reach_the_policy(cast: Cast) -> None:
    in_force(cast, document("needs_review", when="waivers.exists(w, w.days > 180)"))
    checkpoint = make_checkpoint(cast, "acme/model")
    assess(checkpoint, USE, actor="test")

    def decision_after(days: int, rule: str) -> str:
        end = timezone.now() + timedelta(days=days)
        waivers.grant(
            checkpoint, rule=rule, licence_key="*", reason="r", expires_at=end, actor=cast.legal
        )
        found = Assessment.objects.get(checkpoint=checkpoint, is_current=True).report["findings"]
        return ", ".join(item["rule"] for item in found if item["rule"].startswith("policy"))

    assert decision_after(180, "notice_file") == ""
    assert decision_after(181, "licence_copy") == "policy:house"

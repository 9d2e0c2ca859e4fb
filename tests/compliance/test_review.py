"""Who may decide what, on what sight."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.rules.review import (
    DEFAULT_POLICY,
    MOVES,
    TERMINAL,
    Policy,
    ReviewError,
    ReviewFacts,
    Stage,
    Vote,
    cast_vote,
    check_move,
    is_stale,
    refresh,
    seen_digest,
    tally,
    withdraw,
)

SEEN = seen_digest({"assessment": "sha256:a", "files": "sha256:b"})
LEGAL = {"legal_reviewer"}
SECURITY = {"security_reviewer"}


def make_review(**changes: Any) -> ReviewFacts:
    values = {"state": "open", "submitter": "sam", "seen": SEEN, "decision": "needs_review"}
    return ReviewFacts(**{**values, **changes})  # type: ignore[arg-type]


def make_vote(person: str = "lea", stage: str = "legal", **changes: Any) -> Vote:
    values = {"person": person, "stage": stage, "ballot": "approve", "seen": SEEN}
    return Vote(**{**values, **changes})  # type: ignore[arg-type]


def cast(
    review: ReviewFacts, vote: Vote, roles: set[str], policy: Policy = DEFAULT_POLICY
) -> ReviewFacts:
    return cast_vote(review, vote, policy, roles=roles, current=SEEN)


def refusal(review: ReviewFacts, vote: Vote, roles: set[str], current: str = SEEN) -> str:
    with pytest.raises(ReviewError) as caught:
        cast_vote(review, vote, DEFAULT_POLICY, roles=roles, current=current)
    return caught.value.code


def test_two_different_people_approve() -> None:
    half = cast(make_review(), make_vote(), LEGAL)
    whole = cast(half, make_vote("sec", "security"), SECURITY)

    assert (half.state, whole.state) == ("in_review", "approved")
    assert tally(half, DEFAULT_POLICY).lacking == {"security": 1}


def test_a_submitter_cannot_approve_their_own_checkpoint() -> None:
    assert refusal(make_review(), make_vote("sam"), LEGAL) == "submitter_cannot_review"


def test_one_person_cannot_fill_two_stages() -> None:
    half = cast(make_review(), make_vote(), LEGAL | SECURITY)

    assert refusal(half, make_vote(stage="security"), LEGAL | SECURITY) == "already_voted"
    assert refusal(half, make_vote(), LEGAL) == "already_voted"


def test_a_person_without_the_role_cannot_vote() -> None:
    assert refusal(make_review(), make_vote(), SECURITY) == "role_missing"


def test_an_unknown_stage_is_refused() -> None:
    assert refusal(make_review(), make_vote(stage="luck"), LEGAL) == "stage_unknown"


def test_a_vote_on_an_old_sight_is_refused() -> None:
    assert refusal(make_review(), make_vote(seen="sha256:old"), LEGAL) == "seen_is_stale"
    assert refusal(make_review(), make_vote(), LEGAL, current="sha256:new") == "seen_is_stale"


@pytest.mark.parametrize("ballot", ["refuse", "ask"])
def test_a_refusal_or_question_needs_a_reason(ballot: str) -> None:
    assert refusal(make_review(), make_vote(ballot=ballot, reason=" "), LEGAL) == "reason_missing"


def test_a_denied_assessment_cannot_be_approved_but_can_be_refused() -> None:
    denied = make_review(decision="deny")

    assert refusal(denied, make_vote(), LEGAL) == "decision_is_deny"
    assert cast(denied, make_vote(ballot="refuse", reason="no"), LEGAL).state == "refused"


def test_one_refusal_ends_the_review() -> None:
    half = cast(make_review(), make_vote(), LEGAL)
    refused = cast(half, make_vote("sec", "security", ballot="refuse", reason="no"), SECURITY)

    assert refused.state == "refused"
    assert refusal(refused, make_vote("eve"), LEGAL) == "review_closed"


def test_who_asked_may_decide_later_in_the_same_stage() -> None:
    asked = cast(make_review(), make_vote(ballot="ask", reason="why?"), LEGAL)
    decided = cast(asked, make_vote(), LEGAL)

    assert [one.ballot for one in decided.votes] == ["approve"]


def test_a_quorum_of_two_needs_two_people() -> None:
    policy = Policy(stages=(Stage(name="legal", roles=frozenset(LEGAL), quorum=2),))
    first = cast(make_review(), make_vote(), LEGAL, policy)

    assert first.state == "in_review"
    assert cast(first, make_vote("leo"), LEGAL, policy).state == "approved"


def test_a_tally_counts_no_person_twice_and_never_the_submitter() -> None:
    twice = make_review(votes=(make_vote(), make_vote(stage="security")))
    own = make_review(votes=(make_vote("sam"), make_vote("sec", "security")))

    assert tally(twice, DEFAULT_POLICY).lacking == {"security": 1}
    assert tally(own, DEFAULT_POLICY).lacking == {"legal": 1}


def test_a_tally_ignores_a_vote_on_an_older_sight() -> None:
    review = make_review(votes=(make_vote(seen="sha256:old"), make_vote("sec", "security")))

    assert not tally(review, DEFAULT_POLICY).complete


@pytest.mark.parametrize(
    "stages",
    [
        (),
        (Stage(name="a", roles=frozenset()),),
        (Stage(name="a", roles=frozenset(LEGAL), quorum=0),),
        (Stage(name="a", roles=frozenset(LEGAL)),) * 2,
    ],
)
def test_a_policy_that_asks_for_nobody_cannot_exist(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(ReviewError) as caught:
        Policy(stages=stages)

    assert caught.value.code == "policy_invalid"


def test_an_approval_goes_stale_when_what_was_seen_changes() -> None:
    approved = make_review(state="approved")

    assert is_stale(approved, "sha256:other")
    assert refresh(approved, "sha256:other").state == "stale"
    assert refresh(approved, SEEN) == approved


def test_an_approval_can_be_withdrawn_and_a_refusal_cannot() -> None:
    assert withdraw(make_review(state="approved")).state == "withdrawn"
    with pytest.raises(ReviewError, match="cannot go from 'refused' to 'withdrawn'"):
        withdraw(make_review(state="refused"))


def test_the_table_of_moves_is_the_only_way() -> None:
    allowed = set()
    for old, new in product(MOVES, MOVES):
        try:
            check_move(old, new)
        except ReviewError as error:
            assert error.code == "move_not_allowed"  # noqa: PT017 - every refusal has this code
        else:
            allowed.add((old, new))

    assert allowed == {(old, new) for old, news in MOVES.items() for new in news}
    assert not {old for old, _ in allowed} & TERMINAL


def test_the_digest_of_what_was_seen_ignores_order_and_notices_change() -> None:
    assert seen_digest({"files": "sha256:b", "assessment": "sha256:a"}) == SEEN
    assert seen_digest({"files": "sha256:c", "assessment": "sha256:a"}) != SEEN


VOTES = st.lists(
    st.tuples(
        st.sampled_from(["sam", "lea", "sec", "eve"]),
        st.sampled_from(["legal", "security"]),
        st.sampled_from(["approve", "refuse", "ask"]),
    ),
    max_size=8,
)


@given(VOTES)
def test_no_sequence_of_votes_approves_without_two_other_people(
    votes: list[tuple[str, str, Any]],
) -> None:
    review = make_review()
    for person, stage, ballot in votes:
        vote = make_vote(person, stage, ballot=ballot, reason="because")
        try:
            review = cast(review, vote, LEGAL | SECURITY)
        except ReviewError:
            continue

    people = {one.person for one in review.votes if one.ballot == "approve"}
    assert review.state != "approved" or (len(people) >= 2 and "sam" not in people)
    assert replace(review) == review

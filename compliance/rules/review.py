"""Decide what may happen to a review: which moves, by whom, on what sight.

Pure: people, roles and digests come in as plain data. A person who submitted cannot approve, one
person fills one stage, and an approval counts only for what was seen.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from compliance.rules.facts import canonical_json

State = Literal["open", "in_review", "approved", "refused", "withdrawn", "stale"]
Ballot = Literal["approve", "refuse", "ask"]

MOVES: dict[State, frozenset[State]] = {
    "open": frozenset({"in_review", "approved", "refused", "withdrawn", "stale"}),
    "in_review": frozenset({"in_review", "approved", "refused", "withdrawn", "stale"}),
    "approved": frozenset({"withdrawn", "stale"}),
    "refused": frozenset(),
    "withdrawn": frozenset(),
    "stale": frozenset(),
}
LIVE: frozenset[State] = frozenset({"open", "in_review"})
TERMINAL: frozenset[State] = frozenset({"refused", "withdrawn", "stale"})

MESSAGES: dict[str, str] = {
    "move_not_allowed": "A review cannot go from '{old}' to '{new}'.",
    "review_closed": "The review is '{state}' and takes no more votes; open a new one.",
    "submitter_cannot_review": "{person} submitted this checkpoint and cannot review it.",
    "stage_unknown": "The policy has no stage '{stage}'.",
    "role_missing": "{person} holds none of the roles for stage '{stage}': {roles}.",
    "already_voted": "{person} has already decided in stage '{stage}'; one person, one stage.",
    "seen_is_stale": "What {person} saw has changed since; look again and decide then.",
    "reason_missing": "A refusal or a question needs a reason.",
    "decision_is_deny": "The assessment says deny; it cannot be approved, only changed.",
    "policy_invalid": "{why}",
}


class ReviewError(ValueError):
    """Refuse a move or a vote; `code` is stable (a key of MESSAGES)."""

    def __init__(self, code: str, **details: str) -> None:
        self.code = code
        super().__init__(MESSAGES[code].format(**details))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Ask for `quorum` approvals from people who hold one of the roles."""

    name: str
    roles: frozenset[str]
    quorum: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """List the stages a review needs; a policy that asks for nobody cannot exist."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names:
            raise ReviewError("policy_invalid", why="A policy needs at least one stage.")
        if len(set(names)) != len(names):
            raise ReviewError("policy_invalid", why="Two stages have the same name.")
        for stage in self.stages:
            if stage.quorum < 1 or not stage.roles:
                why = f"Stage '{stage.name}' needs a quorum of at least 1 and a role."
                raise ReviewError("policy_invalid", why=why)

    def stage(self, name: str) -> Stage:
        """Find a stage.

        Raises:
            ReviewError: code "stage_unknown".
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ReviewError("stage_unknown", stage=name)


DEFAULT_POLICY = Policy(
    stages=(
        Stage(name="legal", roles=frozenset({"legal_reviewer"})),
        Stage(name="security", roles=frozenset({"security_reviewer"})),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Hold one person's decision in one stage; `seen` digests what was before them."""

    person: str
    stage: str
    ballot: Ballot
    seen: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFacts:
    """Hold one review: who submitted, what is to be seen, what the rules said, who voted.

    `seen` is the digest of everything the review is about (see `seen_digest`); `decision` is the
    assessment's.
    """

    state: State
    submitter: str
    seen: str
    decision: str
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Say how far a review is; `lacking` maps each open stage to the approvals it still needs."""

    lacking: Mapping[str, int]
    refused_by: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Say whether every stage has its quorum and nobody refused."""
        return not self.lacking and not self.refused_by


def seen_digest(parts: Mapping[str, str]) -> str:
    """Digest everything a reviewer is shown, given as name -> digest, as "sha256:<hex>"."""
    return "sha256:" + hashlib.sha256(canonical_json(dict(parts))).hexdigest()


def check_move(old: State, new: State) -> None:
    """Let a move pass or refuse it.

    Raises:
        ReviewError: code "move_not_allowed".
    """
    if new not in MOVES[old]:
        raise ReviewError("move_not_allowed", old=old, new=new)


def is_stale(review: ReviewFacts, current: str) -> bool:
    """Say whether a review that could still count is about something that has changed."""
    return review.state not in TERMINAL and review.seen != current


def check_vote(
    review: ReviewFacts, vote: Vote, policy: Policy, *, roles: Iterable[str], current: str
) -> None:
    """Let a vote pass or refuse it; `current` is the digest of what there is to see now.

    Raises:
        ReviewError: code "review_closed", "submitter_cannot_review", "stage_unknown",
            "role_missing", "already_voted", "seen_is_stale", "reason_missing" or
            "decision_is_deny".
    """
    if review.state not in LIVE:
        raise ReviewError("review_closed", state=review.state)
    if vote.person == review.submitter:
        raise ReviewError("submitter_cannot_review", person=vote.person)
    stage = policy.stage(vote.stage)
    if not stage.roles.intersection(roles):
        wanted = ", ".join(sorted(stage.roles))
        raise ReviewError("role_missing", person=vote.person, stage=stage.name, roles=wanted)
    for earlier in review.votes:
        if earlier.person == vote.person and (earlier.ballot, earlier.stage) != ("ask", vote.stage):
            raise ReviewError("already_voted", person=vote.person, stage=earlier.stage)
    _check_sight(review, vote, current)


def _check_sight(review: ReviewFacts, vote: Vote, current: str) -> None:
    if not vote.seen == review.seen == current:
        raise ReviewError("seen_is_stale", person=vote.person)
    if vote.ballot != "approve" and not vote.reason.strip():
        raise ReviewError("reason_missing")
    if vote.ballot == "approve" and review.decision == "deny":
        raise ReviewError("decision_is_deny")


def tally(review: ReviewFacts, policy: Policy) -> Tally:
    """Count approvals for each stage, by different people, of what is now to be seen."""
    lacking: dict[str, int] = {}
    used: set[str] = {review.submitter}
    for stage in policy.stages:
        people = {
            vote.person
            for vote in review.votes
            if vote.stage == stage.name and vote.ballot == "approve" and vote.seen == review.seen
        } - used
        used |= people
        if len(people) < stage.quorum:
            lacking[stage.name] = stage.quorum - len(people)
    refused = tuple(sorted({vote.person for vote in review.votes if vote.ballot == "refuse"}))
    return Tally(lacking=lacking, refused_by=refused)


def cast_vote(
    review: ReviewFacts, vote: Vote, policy: Policy, *, roles: Iterable[str], current: str
) -> ReviewFacts:
    """Add a checked vote and move the review where the votes put it.

    Law: a review is approved exactly when every stage has its quorum and nobody refused.

    Raises:
        ReviewError: as `check_vote`.
    """
    check_vote(review, vote, policy, roles=roles, current=current)
    kept = tuple(one for one in review.votes if one.person != vote.person)
    voted = replace(review, votes=(*kept, vote))
    count = tally(voted, policy)
    new: State = "refused" if count.refused_by else "approved" if count.complete else "in_review"
    check_move(review.state, new)
    return replace(voted, state=new)


def withdraw(review: ReviewFacts) -> ReviewFacts:
    """Take a review or an approval back.

    Raises:
        ReviewError: code "move_not_allowed" when it is over already.
    """
    check_move(review.state, "withdrawn")
    return replace(review, state="withdrawn")


def refresh(review: ReviewFacts, current: str) -> ReviewFacts:
    """Mark a review stale when what it is about has changed; otherwise leave it."""
    return replace(review, state="stale") if is_stale(review, current) else review

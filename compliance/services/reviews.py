"""Open reviews and decide in them: who may, on what sight, and what an approval needs.

`rules.review` says which vote passes. On top of it stands what an approval asks of findings:

* a decision of `deny` cannot be approved by anybody;
* a finding that needs review and is not waived is approved only under a condition that names it,
  written `<rule>: <what was checked, and how it is lived up to>` by the stage that owns it.
  Security owns `guardrail`, a policy's `stage:` rule names its own, legal owns every other;
* the organisation's policy may ask for more stages and more people in each (`policy.stages`).

Every vote, the move it makes and its ledger entry are one transaction under the organisation's
lock.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from compliance.models import Assessment, Decision, Review
from compliance.policy.stages import owner, review_policy
from compliance.rules import review as rules
from compliance.services.assess import assess
from compliance.services.hints import hint_on_commit
from compliance.services.people import lock, require
from compliance.services.staleness import end_approval
from registry.errors import (
    BadInput,
    Conflict,
    Duplicate,
    LictorError,
    RoleMissing,
    SeparationOfDuties,
    StaleReview,
    StaleState,
)
from registry.ledger.append import append
from registry.models import Checkpoint, Membership, User
from registry.outbox import publish
from registry.signals import STANDING_CHANGED

_APPROVAL_DAYS = 365
_MIN_ANSWER = 10
_MAX_TEXT = 4_000


def open_review(
    checkpoint: Checkpoint, use: dict[str, Any], *, actor: User, now: datetime | None = None
) -> Review:
    """Ask for approval of one checkpoint for one use, on a judgement made now.

    Raises: RoleMissing; BadInput (use_invalid); Duplicate when one is open or approved already.
    """
    require(actor, checkpoint.organisation, "review.request")
    at = now or timezone.now()
    with transaction.atomic():
        lock(checkpoint.organisation_id)
        current = assess(checkpoint, use, actor=actor.username, now=at)
        _refuse_second(checkpoint, current, actor=actor, now=at)
        review = Review.objects.create(
            organisation=checkpoint.organisation,
            checkpoint=checkpoint,
            use=current.use,
            use_digest=current.use_digest,
            assessment=current,
            seen_digest=current.seen_digest,
            opened_by=actor,
            opened_by_name=actor.username,
        )
        _note(review, "review.opened", actor, {"use": review.use, "decision": current.decision})
    return review


def _refuse_second(
    checkpoint: Checkpoint, current: Assessment, *, actor: User, now: datetime
) -> None:
    live = Review.objects.filter(
        checkpoint=checkpoint,
        use_digest=current.use_digest,
        state__in=(Review.State.OPEN, Review.State.APPROVED),
    ).first()
    if live is None:
        return
    if live.state == Review.State.APPROVED and live.expires_at and live.expires_at <= now:
        end_approval(live, actor=actor.username, now=now, action="review.expired")
        return
    raise Duplicate(
        f"The review {live.pk} of this checkpoint for this use is {live.state}.",
        extra={"review": str(live.pk), "state": live.state},
    )


def withdraw(review: Review, *, actor: User, now: datetime | None = None) -> Review:
    """Take a review or an approval back; an approval that is taken back no longer lets serve.

    Raises: RoleMissing; StaleState when it is over already.
    """
    require(actor, review.organisation, "review.comment")
    at = now or timezone.now()
    with transaction.atomic():
        lock(review.organisation_id)
        held = Review.objects.select_related("checkpoint", "organisation").get(pk=review.pk)
        try:
            rules.withdraw(_review_facts(held))
        except rules.ReviewError as error:
            raise StaleState(str(error)) from error
        _move(held, Review.State.WITHDRAWN, closed_at=at)
        _note(held, "review.withdrawn", actor, {"was": held.state})
        if held.state == Review.State.APPROVED:
            _announce(held)
    return Review.objects.get(pk=review.pk)


def decide(
    review: Review,
    *,
    stage: str,
    verdict: str,
    seen_digest: str,
    comment: str = "",
    conditions: Sequence[str] = (),
    actor: User,
    now: datetime | None = None,
) -> Review:
    """Record one person's vote in one stage, and move the review where the votes put it.

    Raises: SeparationOfDuties; RoleMissing; StaleReview when `seen_digest` is not what there is
    to see now; Conflict (assessment_denies, findings_open, stage_decided, review_closed);
    BadInput.
    """
    at = now or timezone.now()
    vote = _read_vote(stage, verdict, seen_digest, comment, conditions, actor)
    if review.state == Review.State.OPEN:
        # On its own, so that a change found here is kept when it refuses the vote.
        assess(review.checkpoint, review.use, actor=actor.username, now=at)
    with transaction.atomic():
        lock(review.organisation_id)
        held = Review.objects.select_related(
            "checkpoint__model",
            "checkpoint__submitted_by",
            "organisation",
            "opened_by",
            "assessment",
        ).get(pk=review.pk)
        voted = _cast(held, vote, actor)
        if vote.ballot == "approve":
            _refuse_denied(held.assessment)
            _refuse_open_findings(held.assessment, stage, conditions)
        _record(held, vote, conditions, actor)
        _settle(held, voted, actor=actor, now=at)
    return Review.objects.get(pk=review.pk)


def _read_vote(
    stage: str,
    verdict: str,
    seen_digest: str,
    comment: str,
    conditions: Sequence[str],
    actor: User,
) -> rules.Vote:
    if verdict not in Decision.Verdict.values:
        known = ", ".join(Decision.Verdict.values)
        raise BadInput(f"{verdict!r} is no verdict; known: {known}.", place="verdict")
    texts = [comment, *conditions]
    if not all(isinstance(text, str) and len(text) <= _MAX_TEXT for text in texts):
        raise BadInput(f"Comment and conditions: text, at most {_MAX_TEXT} characters each.")
    return rules.Vote(
        person=actor.username,
        stage=stage,
        ballot=cast(rules.Ballot, verdict),
        seen=seen_digest,
        reason=comment,
    )


def _review_facts(held: Review) -> rules.ReviewFacts:
    rows = Decision.objects.filter(review=held, seen_digest=held.seen_digest)
    votes = tuple(
        rules.Vote(
            person=row.decided_by.username,
            stage=row.stage,
            ballot=cast(rules.Ballot, row.verdict),
            seen=row.seen_digest,
            reason=row.comment,
        )
        for row in rows.select_related("decided_by").order_by("created_at")
    )
    # The row's "open" covers both of the rules' live states; the moves from them are the same.
    return rules.ReviewFacts(
        state=cast(rules.State, held.state),
        submitter=held.checkpoint.submitted_by.username,
        seen=held.seen_digest,
        decision="",
        votes=votes,
    )


def _cast(held: Review, vote: rules.Vote, actor: User) -> rules.ReviewFacts:
    facts = _review_facts(held)
    rows = Membership.objects.filter(organisation=held.organisation_id, user=actor)
    roles = [role for row in rows for role in row.roles] if actor.is_active else []
    if vote.person == held.opened_by.username and vote.ballot != "ask":
        raise SeparationOfDuties(f"{vote.person} opened this review and cannot decide in it.")
    policy = review_policy(held.assessment.report["findings"])
    waiting = rules.tally(facts, policy).lacking
    try:
        voted = rules.cast_vote(facts, vote, policy, roles=roles, current=held.seen_digest)
    except rules.ReviewError as error:
        raise _refusal(error, facts, vote) from error
    if vote.stage not in waiting:
        raise Conflict(
            f"Stage '{vote.stage}' of this review is decided already.", code="stage_decided"
        )
    return voted


def _refusal(error: rules.ReviewError, facts: rules.ReviewFacts, vote: rules.Vote) -> LictorError:
    said = str(error)
    if error.code == "submitter_cannot_review":
        return SeparationOfDuties(said)
    if error.code == "already_voted":
        mine = [one.stage for one in facts.votes if one.person == vote.person]
        if vote.stage not in mine:
            return SeparationOfDuties(said)
        return Conflict(said, code="stage_decided")
    if error.code == "role_missing":
        return RoleMissing(said)
    if error.code == "seen_is_stale":
        return StaleReview(said)
    if error.code == "review_closed":
        return Conflict(said, code="review_closed")
    return BadInput(said, code=error.code)


def _refuse_denied(current: Assessment) -> None:
    if current.decision != "deny":
        return
    denying = [
        item
        for item in current.report["findings"]
        if item["status"] == "violated" and not item["waived_by"]
    ]
    named = "; ".join(_named(item) for item in denying) or "see the assessment"
    raise Conflict(
        f"The assessment denies this use, and nobody can approve it: {named}",
        code="assessment_denies",
        extra={"findings": denying},
    )


def _named(finding: dict[str, Any]) -> str:
    where = f" ({finding['licence']} section {finding['section']})" if finding["section"] else ""
    return f"{finding['rule']}{where}: {finding['because']}"


def open_findings(current: Assessment, stage: str) -> list[dict[str, Any]]:
    """List the unwaived findings that need review and belong to one stage."""
    return [
        item
        for item in current.report["findings"]
        if item["status"] == "needs_review" and not item["waived_by"] and owner(item) == stage
    ]


def _refuse_open_findings(current: Assessment, stage: str, conditions: Sequence[str]) -> None:
    left = [
        item
        for item in open_findings(current, stage)
        if not any(_answers(text, item["rule"]) for text in conditions)
    ]
    if not left:
        return
    rules_left = sorted({item["rule"] for item in left})
    raise Conflict(
        f"These findings need review and are not settled: {', '.join(rules_left)}. Waive them, "
        "pin the licence, or give a condition that begins with the rule's name, such as "
        f"'{rules_left[0]}: what was checked and how it is lived up to'.",
        code="findings_open",
        extra={"findings": left},
    )


def _answers(condition: str, rule: str) -> bool:
    # A policy's rules have a colon in their own name, so the name is compared whole.
    found = re.fullmatch(rf"\s*{re.escape(rule)}\s*:(.*)", condition, re.DOTALL)
    return found is not None and len(found[1].strip()) >= _MIN_ANSWER


def _record(held: Review, vote: rules.Vote, conditions: Sequence[str], actor: User) -> None:
    row = Decision.objects.create(
        organisation=held.organisation,
        review=held,
        stage=vote.stage,
        verdict=vote.ballot,
        comment=vote.reason,
        conditions=list(conditions),
        seen_digest=vote.seen,
        decided_by=actor,
        decided_by_name=actor.username,
    )
    _note(
        held,
        "review.decided",
        actor,
        {
            "decision": str(row.pk),
            "stage": row.stage,
            "verdict": row.verdict,
            "comment": row.comment,
            "conditions": row.conditions,
        },
    )


def _settle(held: Review, voted: rules.ReviewFacts, *, actor: User, now: datetime) -> None:
    if voted.state == "approved":
        days = int(getattr(settings, "LICTOR_APPROVAL_DAYS", _APPROVAL_DAYS))
        expires_at = now + timedelta(days=days)
        _move(held, Review.State.APPROVED, closed_at=now, expires_at=expires_at)
        people = sorted({one.person for one in voted.votes if one.ballot == "approve"})
        _note(
            held,
            "review.approved",
            actor,
            {"approved_by": people, "expires_at": expires_at.isoformat()},
        )
        _announce(held)
    elif voted.state == "refused":
        _move(held, Review.State.REFUSED, closed_at=now)
        _note(held, "review.refused", actor, {"refused_by": actor.username})
    else:
        _move(held, Review.State.OPEN)


def _announce(held: Review) -> None:
    publish(STANDING_CHANGED, str(held.checkpoint_id))
    hint_on_commit("standing")


def _move(held: Review, state: str, **fields: object) -> None:
    moved = Review.objects.filter(pk=held.pk, state=held.state, version=held.version).update(
        state=state, version=F("version") + 1, **fields
    )
    if not moved:
        raise StaleState(f"The review {held.pk} was moved by somebody else; read it again.")


def _note(review: Review, action: str, actor: User, payload: dict[str, Any]) -> None:
    append(
        review.organisation,
        actor=actor.username,
        action=action,
        subject=review.checkpoint.digest,
        payload={"review": str(review.pk), "seen": review.seen_digest, **payload},
    )

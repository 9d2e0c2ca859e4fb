"""Read what compliance holds, scoped to one organisation, and say who may serve.

`entitlement` is what the permit issuer asks before every renewal, so it reads two indexed rows and
caches nothing. It fails closed: whatever is not plainly approved and current is not entitled.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from compliance.models import (
    Assessment,
    Decision,
    Evidence,
    LicencePin,
    Matter,
    Review,
    Standing,
    Waiver,
)
from compliance.policy.stages import review_policy
from compliance.rules.review import Stage
from registry.models import Checkpoint, Organisation


@dataclass(frozen=True, slots=True)
class Entitled:
    """Say that a checkpoint may be served; `decision` is the id that the permit carries."""

    decision: str
    use_digest: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NotEntitled:
    """Say why a checkpoint may not be served; `code` is stable, `detail` is for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Say that the right to use a checkpoint ended; `cause` is the body of the 451 problem."""

    cause: dict[str, Any]


def standing_of(checkpoint: Checkpoint) -> Ended | None:
    """Find the first end of this checkpoint's standing, or None while it stands."""
    row = (
        Standing.objects.filter(checkpoint=checkpoint, lifted_at=None)
        .order_by("created_at", "id")
        .first()
    )
    return None if row is None else Ended(row.cause)


def approved_review(
    checkpoint: Checkpoint, use_digest: str | None, *, now: datetime | None = None
) -> Review | None:
    """Find the newest approval that is neither stale nor expired, for one use or for any."""
    rows = Review.objects.filter(
        checkpoint=checkpoint,
        state=Review.State.APPROVED,
        expires_at__gt=now or timezone.now(),
    )
    if use_digest is not None:
        rows = rows.filter(use_digest=use_digest)
    found: Review | None = rows.order_by("-closed_at").first()
    return found


_NOT_APPROVED = {
    Review.State.OPEN: ("review_open", "The review {id} is still open; every stage must approve."),
    Review.State.REFUSED: ("review_refused", "The review {id} was refused."),
    Review.State.STALE: (
        "review_stale",
        "What the review {id} approved has changed since; open a new review.",
    ),
    Review.State.WITHDRAWN: ("review_withdrawn", "The review {id} was withdrawn."),
}


def entitlement(
    review: Review | None, checkpoint: Checkpoint, now: datetime
) -> Entitled | NotEntitled | Ended:
    """Tell whether this approval lets this checkpoint be served now.

    The review is read again here: a caller may hold one that another process has since ended.
    An ended licence outranks every approval.
    """
    if (ended := standing_of(checkpoint)) is not None:
        return ended
    fresh = None if review is None else Review.objects.filter(pk=review.pk).first()
    if fresh is None:
        return NotEntitled("no_approval", f"No review approves {checkpoint.digest}; open one.")
    if fresh.checkpoint_id != checkpoint.pk:
        return NotEntitled("wrong_checkpoint", f"The review {fresh.pk} is of another checkpoint.")
    if fresh.state in _NOT_APPROVED:
        code, detail = _NOT_APPROVED[Review.State(fresh.state)]
        return NotEntitled(code, detail.format(id=fresh.pk))
    if fresh.state != Review.State.APPROVED or fresh.expires_at is None:
        return NotEntitled("no_approval", f"The review {fresh.pk} is not an approval.")
    if fresh.expires_at <= now:
        return NotEntitled(
            "review_expired", f"The approval {fresh.pk} ended on {fresh.expires_at:%Y-%m-%d}."
        )
    return Entitled(str(fresh.pk), fresh.use_digest, fresh.expires_at)


def current_assessment(checkpoint: Checkpoint, use_digest: str) -> Assessment | None:
    return Assessment.objects.filter(
        checkpoint=checkpoint, use_digest=use_digest, is_current=True
    ).first()


def assessments(organisation: Organisation) -> "QuerySet[Assessment]":
    return Assessment.objects.for_org(organisation).select_related("checkpoint__model")


def reviews(organisation: Organisation) -> "QuerySet[Review]":
    return (
        Review.objects.for_org(organisation)
        .select_related("checkpoint__model", "assessment")
        .prefetch_related("decisions")
    )


def open_reviews(organisation: Organisation) -> "QuerySet[Review]":
    """List the reviewers' inbox, oldest first."""
    return reviews(organisation).filter(state=Review.State.OPEN).order_by("created_at")


def evidence(organisation: Organisation) -> "QuerySet[Evidence]":
    return Evidence.objects.for_org(organisation).select_related(
        "checkpoint__model", "base__model", "guard"
    )


def active_pins(organisation: Organisation) -> "QuerySet[LicencePin]":
    return LicencePin.objects.for_org(organisation).filter(is_active=True)


def active_waivers(organisation: Organisation, now: datetime) -> "QuerySet[Waiver]":
    return Waiver.objects.for_org(organisation).filter(revoked_at=None, expires_at__gt=now)


def matters(organisation: Organisation) -> "QuerySet[Matter]":
    return Matter.objects.for_org(organisation)


def stages_of(review: Review) -> list[dict[str, Any]]:
    """Say how far each stage is, counting only votes on what is to be seen now.

    Which stages there are and how many people each needs follows from the judgement's findings.
    """
    votes = sorted(review.decisions.all(), key=lambda row: row.created_at)
    counted = [row for row in votes if row.seen_digest == review.seen_digest]
    return [
        _stage_state(stage, [row for row in counted if row.stage == stage.name])
        for stage in review_policy(review.assessment.report["findings"]).stages
    ]


def _stage_state(stage: Stage, votes: list[Decision]) -> dict[str, Any]:
    approved = [row for row in votes if row.verdict == Decision.Verdict.APPROVE]
    refused = [row for row in votes if row.verdict == Decision.Verdict.REFUSE]
    shown = refused or approved or votes[-1:]
    if refused:
        state = "refused"
    elif len(approved) >= stage.quorum:
        state = "approved"
    else:
        state = "asked" if votes and votes[-1].verdict == Decision.Verdict.ASK else "waiting"
    return {
        "stage": stage.name,
        "state": state,
        "by": ", ".join(row.decided_by_name for row in shown) or None,
        "conditions": [text for row in shown for text in row.conditions],
        "needed": stage.quorum,
        "approved": len(approved),
    }

"""End approvals whose ground has moved, and bind open reviews to what is true now."""

from datetime import datetime

from django.db.models import F

from compliance.models import Assessment, Review
from compliance.services.hints import hint_on_commit
from registry.errors import StaleState
from registry.ledger.append import append
from registry.outbox import publish
from registry.signals import STANDING_CHANGED

LIVE = (Review.State.OPEN, Review.State.APPROVED)


def overtake(current: Assessment, *, actor: str, now: datetime) -> None:
    """Compare the live review of this checkpoint and use with its current judgement.

    Call in the transaction that made the judgement. An open review is bound anew, and what was
    decided on the old digest no longer counts; an approval becomes stale.
    """
    rows = Review.objects.filter(
        checkpoint=current.checkpoint_id, use_digest=current.use_digest, state__in=LIVE
    ).exclude(seen_digest=current.seen_digest)
    for review in rows.select_related("checkpoint", "organisation"):
        if review.state == Review.State.OPEN:
            _rebind(review, current, actor=actor)
        else:
            end_approval(review, actor=actor, now=now, action="review.stale", because=current)


def _rebind(review: Review, current: Assessment, *, actor: str) -> None:
    _move(review, Review.State.OPEN, assessment=current, seen_digest=current.seen_digest)
    append(
        review.organisation,
        actor=actor,
        action="review.rebound",
        subject=review.checkpoint.digest,
        payload={
            "review": str(review.pk),
            "assessment": str(current.pk),
            "seen_before": review.seen_digest,
            "seen_now": current.seen_digest,
        },
    )


def end_approval(
    review: Review, *, actor: str, now: datetime, action: str, because: Assessment | None = None
) -> None:
    """Make an approval stale, which ends the right to serve under it.

    Raises: StaleState when another act moved the review first.
    """
    _move(review, Review.State.STALE, closed_at=now)
    append(
        review.organisation,
        actor=actor,
        action=action,
        subject=review.checkpoint.digest,
        payload={
            "review": str(review.pk),
            "seen": review.seen_digest,
            "seen_now": because.seen_digest if because else None,
            "assessment": str(because.pk) if because else None,
        },
    )
    publish(STANDING_CHANGED, str(review.checkpoint_id))
    hint_on_commit("standing")


def _move(review: Review, state: str, **fields: object) -> None:
    moved = Review.objects.filter(pk=review.pk, state=review.state, version=review.version).update(
        state=state, version=F("version") + 1, **fields
    )
    if not moved:
        raise StaleState(f"The review {review.pk} was moved by somebody else; read it again.")

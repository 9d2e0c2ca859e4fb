"""Read duties and which of them are due."""

from datetime import datetime

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from compliance.models import Assessment, Duty, Review
from registry.models import Organisation


def duties(organisation: Organisation) -> "QuerySet[Duty]":
    """List an organisation's duties, the next due first."""
    rows = Duty.objects.for_org(organisation)
    return rows.select_related("organisation", "checkpoint__model", "review", "owner")


def open_duties(organisation: Organisation) -> "QuerySet[Duty]":
    return duties(organisation).filter(state=Duty.State.OPEN)


def out_of_step(limit: int) -> list[Review]:
    """Find approved uses judged anew since, and ended ones that still have duties."""
    current = Assessment.objects.filter(
        checkpoint=OuterRef("checkpoint"), use_digest=OuterRef("use_digest"), is_current=True
    )
    reviews = Review.objects.select_related("organisation", "checkpoint__model")
    approved = reviews.filter(state=Review.State.APPROVED).annotate(
        judged=Subquery(current.values("pk")[:1])
    )
    changed = approved.filter(judged__isnull=False).exclude(
        duty_round__assessment=F("judged"), duty_round__isnull=False
    )
    ended = reviews.exclude(state=Review.State.APPROVED).exclude(duty_round=None)
    return [*changed[:limit], *ended[:limit]]


def fallen_due(now: datetime, limit: int) -> "QuerySet[Duty]":
    """Find duties that were done and are due again."""
    rows = Duty.objects.filter(
        state=Duty.State.DONE, recurs_days__isnull=False, due_on__lte=now.date()
    )
    return rows.select_related("organisation", "checkpoint__model")[:limit]


def to_look_at(before: datetime, limit: int) -> "QuerySet[Duty]":
    """Find live duties that a machine can see and did not look at since."""
    rows = Duty.objects.exclude(state=Duty.State.LAPSED).filter(
        Q(check_by="files", state=Duty.State.OPEN) | Q(check_by="page") & ~Q(page_url="")
    )
    stale = rows.filter(Q(seen_at=None) | Q(seen_at__lt=before))
    return stale.select_related("organisation", "checkpoint__model")[:limit]

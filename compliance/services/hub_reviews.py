"""Open a review where a Hub says that the terms of a model changed."""

import logging
from datetime import datetime
from typing import Any

from compliance.models import Review
from compliance.services.reviews import open_review
from compliance.services.uses import DEFAULT_USE, read_use
from registry.errors import Duplicate
from registry.models import Checkpoint, HubImport, Membership, User
from registry.roles import can

log = logging.getLogger(__name__)


def review_changed_terms(checkpoint: Checkpoint, *, now: datetime) -> list[Review]:
    """Ask legal to look at a checkpoint whose import said that its terms changed upstream.

    One review for each use that any commit of this model was reviewed for, or for the default use
    when none was. Who imported it asks; when they no longer may, the first member who may. Safe to
    run twice: what is open or approved, or was opened since that import, is left alone.
    """
    row = HubImport.objects.filter(checkpoint=checkpoint, licence_changed=True).first()
    if row is None:
        return []
    asker = _asker(row)
    if asker is None:
        log.warning("nobody may open a review of %s, whose terms changed", row)
        return []
    opened = []
    for use in _uses(checkpoint):
        held = Review.objects.filter(checkpoint=checkpoint, use_digest=read_use(use).digest)
        if held.filter(created_at__gte=row.seen_at).exists():
            continue
        try:
            opened.append(open_review(checkpoint, use, actor=asker, now=now))
        except Duplicate:
            continue
    return opened


def _uses(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    rows = Review.objects.filter(checkpoint__model=checkpoint.model_id).order_by("created_at")
    return list({row.use_digest: row.use for row in rows}.values()) or [DEFAULT_USE]


def _asker(row: HubImport) -> User | None:
    members = Membership.objects.filter(
        organisation=row.organisation_id, user__is_active=True
    ).select_related("user")
    allowed = [one.user for one in members.order_by("pk") if can(one.roles, "review.request")]
    importer = [one for one in allowed if one.username == row.imported_by_name]
    return next(iter([*importer, *allowed]), None)

"""Write, activate and approve under policies, as the people of one organisation do."""

import json
from typing import Any

from compliance.models import PolicyVersion, Review
from compliance.services import policies, reviews
from tests.compliance.building import USE, Cast, make_checkpoint


def document(then: str = "deny", when: str = "target.hosted", **more: str) -> str:
    rule = {"id": "house", "when": when, "then": then, "because": "House rule.", **more}
    lines = [f"{name}: {json.dumps(value)}" for name, value in rule.items()]
    return "name: house\nrules:\n  - " + "\n    ".join(lines) + "\n"


def save(cast: Cast, text: str, actor: Any = None) -> PolicyVersion:
    author = actor or cast.legal
    return policies.save(cast.organisation, document=text, reason="because", actor=author)


def in_force(cast: Cast, text: str) -> PolicyVersion:
    return policies.activate(save(cast, text), actor=cast.security)


def approve(cast: Cast, review: Review, *more: Any) -> Review:
    for stage, person in (("legal", cast.legal), ("security", cast.security), *more):
        review.refresh_from_db()
        reviews.decide(
            review,
            stage=stage,
            verdict="approve",
            seen_digest=review.seen_digest,
            conditions=[f"policy:house: looked at by {person.username}"],
            actor=person,
        )
    review.refresh_from_db()
    return review


def approved(cast: Cast, name: str = "acme/model") -> Review:
    return approve(cast, reviews.open_review(make_checkpoint(cast, name), USE, actor=cast.asker))

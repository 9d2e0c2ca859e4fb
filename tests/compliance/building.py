"""Build an organisation, its people and checkpoints straight in the database."""

import hashlib
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from registry.artifact.card import DeclaredFacts
from registry.keys import make_key
from registry.models import Checkpoint, LineageEdge, Membership, Model, Organisation, User

USE: dict[str, Any] = {
    "purposes": ["hosted_service"],
    "commercial": True,
    "monthly_active_users": 20_000,
    "annual_revenue_usd": 5_000_000,
    "jurisdictions": ["DE", "US"],
    "domains": ["customer_support"],
}
NVIDIA = "nvidia-open-model-2025-10-24"


@dataclass
class Cast:
    """Hold one organisation and one person for each role."""

    organisation: Organisation
    submitter: User
    legal: User
    security: User
    operator: User
    asker: User


def make_person(organisation: Organisation, name: str, *roles: str) -> User:
    user = User.objects.create_user(username=name)
    Membership.objects.create(organisation=organisation, user=user, roles=list(roles))
    return user


def make_cast(slug: str = "acme") -> Cast:
    organisation = Organisation.objects.create(slug=slug, name=slug.title())
    return Cast(
        organisation,
        submitter=make_person(organisation, f"{slug}-erin", "submitter"),
        legal=make_person(organisation, f"{slug}-lena", "legal_reviewer"),
        security=make_person(organisation, f"{slug}-sam", "security_reviewer"),
        operator=make_person(organisation, f"{slug}-olga", "operator"),
        asker=make_person(organisation, f"{slug}-ada", "submitter"),
    )


def make_checkpoint(
    cast: Cast,
    name: str,
    *,
    parent: Checkpoint | None = None,
    parent_name: str = "",
    license: str = "apache-2.0",
    kind: str = "weights",
    salt: str = "",
) -> Checkpoint:
    model, _ = Model.objects.get_or_create(organisation=cast.organisation, name=name)
    digest = "sha256:" + hashlib.sha256(f"{name}{salt}".encode()).hexdigest()
    row = Checkpoint.objects.create(
        organisation=cast.organisation,
        model=model,
        digest=digest,
        kind=kind,
        manifest={"schema": "lictor.manifest/1", "files": []},
        declared=DeclaredFacts(license=license).to_json(),
        submitted_by=cast.submitter,
        submitted_by_name=cast.submitter.username,
    )
    if parent is not None or parent_name:
        LineageEdge.objects.create(
            organisation=cast.organisation,
            child=row,
            parent=parent,
            parent_name=parent.model.name if parent else parent_name,
            relation="finetune",
        )
    return row


def use_ledger_key(folder: Any) -> None:
    settings.LICTOR_KEYS = folder
    make_key("ledger")

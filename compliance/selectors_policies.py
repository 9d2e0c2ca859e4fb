"""Read the policy that counts for one organisation, its history, and what reviews ask for."""

import difflib
import math
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.db.models import QuerySet

from compliance.models import Assessment, PolicyDryRun, PolicyVersion, Waiver
from compliance.policy.document import Policy, read_policy
from compliance.policy.environment import Surroundings
from compliance.rules.faults import InputFaults
from registry.errors import Conflict
from registry.models import Checkpoint, Organisation

_DAY_SECONDS = 24 * 60 * 60


def versions(organisation: Organisation) -> "QuerySet[PolicyVersion]":
    return PolicyVersion.objects.for_org(organisation)


def dry_runs(organisation: Organisation) -> "QuerySet[PolicyDryRun]":
    return PolicyDryRun.objects.for_org(organisation).select_related("policy", "against")


def active_version(organisation: Organisation) -> PolicyVersion | None:
    """Find the version in force, if there is one."""
    found: PolicyVersion | None = versions(organisation).filter(state="active").first()
    return found


def policy_for(organisation: Organisation) -> Policy | None:
    """Give the policy by which this organisation's checkpoints are judged besides the licences.

    One indexed query; a document is read once per process and kept by its digest.
    Raises: Conflict (policy_altered, policy_unreadable): then nothing is judged at all.
    """
    row = active_version(organisation)
    return None if row is None else policy_of(row)


def policy_of(row: PolicyVersion) -> Policy:
    """Read one version's document.

    Raises: Conflict (policy_altered, policy_unreadable).
    """
    return _read(row.pk, row.digest, row.document)


@lru_cache(maxsize=256)
def _read(pk: UUID, digest: str, document: str) -> Policy:
    try:
        policy = read_policy(document.encode(), source=f"policy {pk}")
    except InputFaults as error:
        raise Conflict(
            f"The policy {pk} cannot be read by this version of the product; write it anew: "
            + "; ".join(map(str, error.faults)),
            code="policy_unreadable",
        ) from error
    if policy.digest != digest:
        raise Conflict(
            f"The words of the policy {pk} are not those that were saved; its ledger entry names "
            "their digest. Nothing is judged by it: write the next version.",
            code="policy_altered",
        )
    return policy


def surroundings_of(checkpoint: Checkpoint) -> Surroundings:
    """Collect what a policy may ask besides the facts: for how long each waiver was granted."""
    rows = Waiver.objects.filter(checkpoint=checkpoint, revoked_at=None)
    spans = rows.values_list("pk", "created_at", "expires_at")
    return Surroundings(
        waiver_days={
            str(pk): math.ceil((end - start).total_seconds() / _DAY_SECONDS)
            for pk, start, end in spans
        }
    )


def behind(limit: int) -> "list[Assessment]":
    """List current judgements that were made under another policy than the one in force."""
    active = PolicyVersion.objects.filter(state=PolicyVersion.State.ACTIVE)
    digests = dict(active.values_list("organisation_id", "rules_digest"))
    current = Assessment.objects.filter(is_current=True).select_related(
        "checkpoint__model", "checkpoint__organisation"
    )
    found = list(current.exclude(organisation__in=digests).exclude(policy_digest="")[:limit])
    for organisation, digest in digests.items():
        rows = current.filter(organisation=organisation).exclude(policy_digest=digest)
        found += list(rows.order_by("as_of", "pk")[:limit])
    return found[:limit]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """Hold one line of a difference: `sign` is "+", "-" or a space."""

    sign: str
    text: str


def difference(old: PolicyVersion | None, new: PolicyVersion) -> list[DiffLine]:
    """Compare two documents line by line, with three lines around each change."""
    before = old.document.splitlines() if old else []
    lines = difflib.unified_diff(before, new.document.splitlines(), lineterm="", n=3)
    return [
        DiffLine("@" if line.startswith("@@") else line[:1], line if line[:1] == "@" else line[1:])
        for line in lines
        if not line.startswith(("---", "+++"))
    ]


def previous(row: PolicyVersion) -> PolicyVersion | None:
    """Find the version that this one is read against: the one before it."""
    found: PolicyVersion | None = (
        PolicyVersion.objects.filter(organisation=row.organisation_id, number__lt=row.number)
        .order_by("-number")
        .first()
    )
    return found

"""Read guards, and say which one an approval asks for."""

from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from compliance.models import Evidence, Guard, Review
from registry.models import Organisation

GUARDRAIL: Final = "guardrail_retention"


def guards(organisation: Organisation) -> "QuerySet[Guard]":
    rows: QuerySet[Guard] = Guard.objects.for_org(organisation)
    return rows


def required_guards(review: Review) -> tuple[Guard, ...]:
    """List the guards without which the approved judgement does not hold.

    They are those of the measured replacements that its findings rest on: such evidence is about
    the model behind that guard and about nothing else. Their order is that of their digests.
    """
    found = review.assessment.report.get("findings", ())
    references = {
        item["reference"]
        for finding in found
        for item in finding.get("evidence", ())
        if item.get("kind") == GUARDRAIL
    }
    if not references:
        return ()
    rows = Evidence.objects.filter(
        organisation=review.organisation_id,
        record_digest__in=references,
        result=Evidence.Result.REPLACED,
        method=Evidence.Method.MEASURED,
    ).exclude(guard=None)
    told = {row.guard.digest: row.guard for row in rows.select_related("guard") if row.guard}
    return tuple(told[digest] for digest in sorted(told))


def guards_by_id(keys: set[UUID]) -> dict[UUID, Guard]:
    return {row.pk: row for row in Guard.objects.filter(pk__in=keys)}

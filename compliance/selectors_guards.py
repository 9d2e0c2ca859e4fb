"""Read guards, and say which one an approval asks for."""

from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from compliance.models import Assessment, Evidence, Guard, Review
from registry.models import Organisation

GUARDRAIL: Final = "guardrail_retention"


def guards(organisation: Organisation) -> "QuerySet[Guard]":
    rows: QuerySet[Guard] = Guard.objects.for_org(organisation)
    return rows


@lru_cache(maxsize=4096)
def _references(assessment: UUID) -> frozenset[str]:
    """List the guardrail records that a judgement's findings rest on.

    A judgement never changes (another outcome is another row), and permits ask each second.
    """
    report = Assessment.objects.values_list("report", flat=True).get(pk=assessment)
    return frozenset(
        item["reference"]
        for finding in report.get("findings", ())
        for item in finding.get("evidence", ())
        if item.get("kind") == GUARDRAIL
    )


def required_guards(review: Review) -> tuple[Guard, ...]:
    """List the guards without which the approved judgement does not hold.

    They are those of the measured replacements that its findings rest on: such evidence is about
    the model behind that guard and about nothing else. Their order is that of their digests.
    """
    references = _references(review.assessment_id)
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

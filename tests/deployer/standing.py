"""End the standing of a checkpoint the way compliance does it, with a whole cause."""

from datetime import date
from typing import Any

from compliance.models import Matter, Standing
from compliance.rules.assessment import Termination
from compliance.services.standing import cause_of
from registry.models import Checkpoint


def end_standing(checkpoint: Checkpoint) -> dict[str, Any]:
    """Write the row that ends a checkpoint's standing and return its cause."""
    matter = Matter.objects.create(
        organisation=checkpoint.organisation,
        reference=f"ACME-{checkpoint.pk}",
        title="Acme against the makers",
        kind="patent",
        status=Matter.Status.FILED,
        filed_on=date(2026, 3, 1),
        declared_by=checkpoint.submitted_by,
        declared_by_name=checkpoint.submitted_by_name,
    )
    ended = Termination(
        licence="nvidia-open-model-2025-10-24",
        licence_title="NVIDIA Open Model License Agreement",
        version="2025-10-24",
        section="2.1",
        quote="rights granted under this Agreement will terminate",
        model=checkpoint.model.name,
        path=(checkpoint.model.name,),
        scope="all",
        matter=matter.reference,
        effective=date(2026, 3, 1),
    )
    cause = cause_of(ended, matter)
    Standing.objects.create(
        organisation=checkpoint.organisation,
        checkpoint=checkpoint,
        matter=matter,
        cause=cause,
        cause_digest=f"sha256:{checkpoint.pk.hex}",
    )
    return cause

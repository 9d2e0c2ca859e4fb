"""Read what the registry holds, scoped to one organisation."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from registry.models import Checkpoint, LedgerEntry, LineageEdge, Model, Organisation


@dataclass
class Closure:
    """Hold a part of the lineage graph; edges may name parents that are not registered."""

    checkpoints: dict[UUID, Checkpoint] = field(default_factory=dict)
    edges: list[LineageEdge] = field(default_factory=list)


def checkpoints(organisation: Organisation) -> "QuerySet[Checkpoint]":
    rows: QuerySet[Checkpoint] = (
        Checkpoint.objects.for_org(organisation)
        .select_related("model")
        .prefetch_related("parent_edges__parent", "datasets")
    )
    return rows


def models(organisation: Organisation) -> "QuerySet[Model]":
    rows: QuerySet[Model] = Model.objects.for_org(organisation)
    return rows


def ledger_entries(organisation: Organisation) -> "QuerySet[LedgerEntry]":
    return LedgerEntry.objects.filter(organisation=organisation).order_by("seq")


def closure_up(checkpoint: Checkpoint) -> Closure:
    """Collect a checkpoint with everything that it was made from, level by level.

    One query a level; a cycle, which constraints should prevent, ends the walk and does no harm.
    """
    return _walk([checkpoint], "child", "parent")


def closure_down(start: Iterable[Checkpoint]) -> Closure:
    """Collect checkpoints with everything that was made from them."""
    return _walk(start, "parent", "child")


def _walk(start: Iterable[Checkpoint], near: str, far: str) -> Closure:
    closure = Closure({row.pk: row for row in start})
    front: list[Any] = list(closure.checkpoints)
    while front:
        edges = list(
            LineageEdge.objects.filter(**{f"{near}__in": front}).select_related(
                "parent__model", "child__model"
            )
        )
        closure.edges.extend(edges)
        found = [getattr(edge, far) for edge in edges if getattr(edge, far) is not None]
        fresh = {row.pk: row for row in found if row.pk not in closure.checkpoints}
        closure.checkpoints.update(fresh)
        front = list(fresh)
    return closure

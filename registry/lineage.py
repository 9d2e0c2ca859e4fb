"""Find what no lineage may have: a way back to its own beginning, or depth without end.

Works on collected closures, whose edges come level by level; asks the database nothing.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from registry.models import Checkpoint
from registry.selectors import Closure

MAX_LEVELS: Final = 32
MAX_ANCESTORS: Final = 2000


def way_to_itself(checkpoint: Checkpoint, up: Closure) -> list[str] | None:
    """Name the models on the shortest way from a checkpoint up to itself; None where none is.

    An edge that waits for a model of the checkpoint's own name counts as leading to it.
    """
    reached = {edge.parent_id: edge for edge in reversed(up.edges) if edge.parent_id is not None}
    for edge in up.edges:
        waits = edge.parent_id is None and edge.parent_name == checkpoint.model.name
        if edge.parent_id == checkpoint.pk or waits:
            between, child = [], edge.child
            while child.pk != checkpoint.pk:
                between.append(child.model.name)
                child = reached[child.pk].child
            return [checkpoint.model.name, *reversed(between), checkpoint.model.name]
    return None


def levels_through(checkpoint: Checkpoint, up: Closure, down: Closure) -> int:
    """Count the levels from the furthest ancestor, through a checkpoint, to what came of it."""
    above = _depth(checkpoint.pk, ((edge.child_id, edge.parent_id) for edge in up.edges))
    below = _depth(checkpoint.pk, ((edge.parent_id, edge.child_id) for edge in down.edges))
    return above + below


def _depth(start: UUID, steps: Iterable[tuple[UUID | None, UUID | None]]) -> int:
    depth: dict[UUID | None, int] = {start: 0}
    for near, far in steps:
        if far is not None:
            depth.setdefault(far, depth[near] + 1)
    return max(depth.values())

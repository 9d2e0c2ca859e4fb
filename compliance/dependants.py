"""Let rooms above name what depends on a checkpoint, so that a what-if can list it.

Compliance knows nothing about endpoints. The deployer registers a function here when the apps are
ready; it takes checkpoint ids and gives plain rows with at least "id", "name" and "checkpoint".
"""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from registry.models import Organisation

Lister = Callable[[Organisation, Collection[UUID]], list[dict[str, Any]]]

_listers: dict[str, Lister] = {}


def register(name: str, lister: Lister) -> None:
    """Add or replace the lister of one kind of dependant, such as "endpoints"."""
    _listers[name] = lister


def dependants(
    name: str, organisation: Organisation, checkpoints: Collection[UUID]
) -> list[dict[str, Any]]:
    """List one kind of dependant; empty where no room registered it."""
    lister = _listers.get(name)
    return lister(organisation, checkpoints) if lister is not None and checkpoints else []

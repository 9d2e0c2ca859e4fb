"""Name the states of replicas and which moves between them are allowed. Pure."""

from typing import Final

LIVE: Final = frozenset({"pending", "starting", "ready", "stopping"})
STARTED: Final = frozenset({"starting", "ready"})
OVER: Final = frozenset({"stopped", "failed"})

MOVES: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"starting", "stopping", "stopped", "failed"}),
    "starting": frozenset({"ready", "stopping", "failed"}),
    "ready": frozenset({"stopping", "failed"}),
    "stopping": frozenset({"stopped", "failed"}),
    "stopped": frozenset(),
    "failed": frozenset(),
}


def may_move(old: str, new: str) -> bool:
    return new in MOVES.get(old, frozenset())

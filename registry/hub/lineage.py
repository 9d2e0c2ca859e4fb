"""Read a repository and what it was made from, parents before children.

A parent that cannot be read stays in the list under its name with the reason: known to exist,
unknown in its terms. Circles and depth are bounded here; what may pass is raised, not recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from registry.hub.intake import Reading
from registry.hub.refusals import HubRefusal

READ: Final = "read"
CIRCULAR: Final = "circular"
TOO_DEEP: Final = "not followed"
MAX_MODELS: Final = 100
MAX_DEPTH: Final = 30


class Source(Protocol):
    """Be where repositories are read: a Hub, or what is kept of one."""

    def pin(self, repo: str, revision: str | None = None) -> tuple[str, str]: ...

    def read(self, repo: str, revision: str | None = None) -> Reading: ...


def read_lineage(
    source: Source,
    repo: str,
    revision: str | None = None,
    *,
    depth: int,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Reading]:
    """Read `repo` and its ancestors up to `depth` levels: parents first, `repo` last.

    Each reading's parents carry their name now and a state: read, circular, not followed, or the
    reason why they could not be read.

    Raises: HubRefusal when `repo` itself cannot be read, or for a reason that may pass.
    """
    walk = _Walk(source, tell)
    walk.visit(repo, revision, min(depth, MAX_DEPTH))
    return list(walk.read.values())


@dataclass
class _Walk:
    source: Source
    tell: Callable[[str], None]
    read: dict[str, Reading] = field(default_factory=dict)
    # The names from the subject down to where the walk stands, and what a name is called now.
    way: list[str] = field(default_factory=list)
    started: int = 0
    now_called: dict[str, str] = field(default_factory=dict)

    def visit(self, repo: str, revision: str | None, depth: int) -> str:
        self.tell(repo)
        self.started += 1
        reading = self.source.read(repo, revision)
        name = reading.commit.repo
        self.now_called[repo] = name
        self.way.append(name)
        seen: dict[str, dict[str, Any]] = {}
        for parent in reading.parents:
            found = self._parent(parent, depth)
            # Two spellings of one repository are one parent.
            seen.setdefault(found["id"], found)
        reading.parents[:] = seen.values()
        self.way.pop()
        self.read[name] = reading
        return name

    def _parent(self, parent: dict[str, Any], depth: int) -> dict[str, Any]:
        named = parent["named"]
        try:
            name = self.now_called.get(named) or self.source.pin(named)[0]
            self.now_called[named] = name
            state = self._state(name, depth)
        except HubRefusal as error:
            if error.is_transient:
                raise
            name, state = self.now_called.get(named, named), error.reason
        return {**parent, "id": name, "state": state}

    def _state(self, name: str, depth: int) -> str:
        if name in self.way:
            return CIRCULAR
        if name in self.read:
            return READ
        if depth <= 0 or self.started >= MAX_MODELS:
            return TOO_DEEP
        self.visit(name, None, depth - 1)
        return READ

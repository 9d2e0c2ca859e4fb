"""The plain data of an inventory: what was found where, and what two inventories differ in."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import rfc8785

Severity = Literal["concern", "review", "harmless"]
SEVERITIES: Final[tuple[Severity, ...]] = ("concern", "review", "harmless")
MAX_EXCERPT: Final = 200

NOT_IN_FILES: Final = (
    "Whether the weights refuse is not visible in files; measure it (lictor measure).",
    "What runs beside the model at serving time (filters, guards, steering) is not in these files.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """One thing that holds a model back, or that could undo it.

    `place` is a file and where in it; `fingerprint` is "sha256:<hex>" of its meaning, so that
    another layout of the same is the same; `detail` is what a comparison looks at; `is_concern`
    marks what tells of removed guardrails by itself.
    """

    kind: str
    name: str
    place: str
    fingerprint: str
    excerpt: str = ""
    is_concern: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.name

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        del told["detail"]
        return told


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was found, sorted by kind and name, and which files could not be read and why."""

    mechanisms: tuple[Mechanism, ...]
    unreadable: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "mechanisms": [one.to_json() for one in self.mechanisms],
            "unreadable": [{"file": file, "why": why} for file, why in self.unreadable],
            "not_in_files": list(NOT_IN_FILES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference; `before` and `after` are fingerprints, "" where there is none."""

    severity: Severity
    kind: str
    name: str
    what: str
    place: str
    before: str = ""
    after: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fingerprint(value: object) -> str:
    """Return "sha256:<hex>" of a value's canonical JSON; numbers too large for it as text."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(_plain(value))).hexdigest()


def excerpt(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_EXCERPT else line[: MAX_EXCERPT - 1] + "…"


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if abs(value) < 1e300 else str(value)
    return str(value).encode("utf-8", "replace").decode()

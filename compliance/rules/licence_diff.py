"""Compare two versions of a licence record field by field and clause by clause, as a redline."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

# Base64 that nobody reads: say that it changed, not how.
OPAQUE = frozenset({"text_sketch"})

# Comparing takes time with the product of the words; no clause comes near this.
_MOST_PAIRS = 4_000_000

Op = Literal["same", "gone", "new"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Hold a run of words that stayed, went, or came."""

    op: Op
    text: str


@dataclass(frozen=True, slots=True)
class FieldChange:
    """Say that one field changed; an empty text means that it is not there."""

    name: str
    before: str
    after: str
    redline: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class ClauseChange:
    """Say what became of one clause, found by its id."""

    id: str
    section: str
    change: Literal["added", "removed", "changed"]
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class LicenceDiff:
    """Hold everything that differs; falsy when nothing does. A changed layout is no difference."""

    fields: tuple[FieldChange, ...]
    clauses: tuple[ClauseChange, ...]
    order_changed: bool

    def __bool__(self) -> bool:
        return bool(self.fields or self.clauses or self.order_changed)

    def to_dict(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> LicenceDiff:
    """Compare two checked documents; None is a licence that is not there.

    Laws: a document compared with itself differs in nothing; turning the two round swaps
    "added" and "removed".
    """
    old, new = before or {}, after or {}
    old_clauses, new_clauses = _clauses(old), _clauses(new)
    kept_before = [key for key in old_clauses if key in new_clauses]
    kept_after = [key for key in new_clauses if key in old_clauses]
    ids = [*new_clauses, *(key for key in old_clauses if key not in new_clauses)]
    changes = [_clause_change(old_clauses.get(key), new_clauses.get(key), key) for key in ids]
    return LicenceDiff(
        fields=_fields(_without_clauses(old), _without_clauses(new)),
        clauses=tuple(one for one in changes if one is not None),
        order_changed=kept_before != kept_after,
    )


def _clauses(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(one["id"]): one for one in document.get("clauses") or ()}


def _without_clauses(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "clauses"}


def _clause_change(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, key: str
) -> ClauseChange | None:
    fields = _fields(before or {}, after or {})
    if not fields:
        return None
    section = str((after or before or {}).get("section", ""))
    if before is None:
        return ClauseChange(key, section, "added", fields)
    return ClauseChange(key, section, "removed" if after is None else "changed", fields)


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    old, new = _flat(before), _flat(after)
    names = [*new, *(name for name in old if name not in new)]
    return tuple(
        _field(name, old.get(name, ""), new.get(name, ""))
        for name in names
        if old.get(name, "") != new.get(name, "")
    )


def _field(name: str, before: str, after: str) -> FieldChange:
    if name in OPAQUE:
        before, after = ("(sketch)" if one else "" for one in (before, after))
        pieces = tuple(one for one in (Piece("gone", before), Piece("new", after)) if one.text)
        return FieldChange(name, before, after, pieces)
    return FieldChange(name, before, after, redline(before, after))


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Write a mapping as name -> text, `params.limit` for what lies deeper."""
    found: dict[str, str] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "; ".join(" ".join(one.split()) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False, default=str)


def redline(before: str, after: str) -> tuple[Piece, ...]:
    """Mark which words went and which came.

    Laws: "same" and "gone" pieces joined by a space are `before`; "same" and "new" are `after`.
    """
    old, new = before.split(), after.split()
    if len(old) * len(new) > _MOST_PAIRS:
        return tuple(one for one in (Piece("gone", before), Piece("new", after)) if one.text)
    pieces: list[Piece] = []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", " ".join(old[i1:i2])))
            continue
        if i1 < i2:
            pieces.append(Piece("gone", " ".join(old[i1:i2])))
        if j1 < j2:
            pieces.append(Piece("new", " ".join(new[j1:j2])))
    return tuple(pieces)

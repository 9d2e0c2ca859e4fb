"""Say what differs between two readings of one repository.

Pure. A licence counts as changed when anything that could say which terms apply has changed: the
card's licence fields, a licence file, a file of terms, or the gate.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from registry.hub.facts import Commit, HubFile, is_licence

LICENCE: Final = "licence"
WEIGHTS_SUFFIXES: Final = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
_LICENCE_FIELDS: Final = ("license", "license_name", "license_link")
_STATUS: Final = ("gated", "private", "disabled", "security")
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Change:
    """Name one thing that changed: a kind, a sentence, and what it was and is.

    `kind` is one of commit, licence, card, gate, base_model, dataset, files, weights, gated,
    private, disabled, security.
    """

    kind: str
    says: str
    before: Any = None
    after: Any = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def changes(
    before: Commit, was: Mapping[str, Any], after: Commit, now: Mapping[str, Any]
) -> tuple[Change, ...]:
    """List what changed from one reading to a later one; equal readings give ().

    What one of the two readings could not learn is no change: unknown is not a value.
    """
    found: list[Change] = []
    if before.sha != after.sha:
        found.append(Change("commit", "The commit moved.", before.sha, after.sha))
        found += _file_changes(before, after)
    found += _card_changes(was.get("card") or {}, now.get("card") or {})
    if was.get("gates") != now.get("gates"):
        found.append(Change("gate", "The text at the gate changed.", was["gates"], now["gates"]))
        found.append(Change(LICENCE, "The gate's text may carry terms and changed."))
    found += _listed("base_model", "The parents changed.", was, now, "parents", _parent)
    found += _listed("dataset", "The data sets or their licences changed.", was, now, "datasets")
    for key in _STATUS:
        if was.get(key) != now.get(key) and was.get(key) is not None and now.get(key) is not None:
            found.append(Change(key, f"{key} changed.", was[key], now[key]))
    return tuple(found)


def is_licence_change(found: tuple[Change, ...]) -> bool:
    return any(one.kind == LICENCE for one in found)


def _file_changes(before: Commit, after: Commit) -> Iterator[Change]:
    old, new = _claims(before), _claims(after)
    differing = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    groups: dict[str, list[str]] = {}
    for path in differing:
        groups.setdefault(_kind(path), []).append(path)
    for kind, paths in sorted(groups.items()):
        listed = [_moved(path, old.get(path), new.get(path)) for path in paths[:_SHOWN]]
        more = f", and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        yield Change(kind, f"{', '.join(listed)}{more}.")


def _claims(commit: Commit) -> dict[str, HubFile]:
    return {one.path: one for one in commit.files}


def _kind(path: str) -> str:
    if is_licence(path):
        return LICENCE
    if path == "README.md":
        return "card"
    return "weights" if path.lower().endswith(WEIGHTS_SUFFIXES) else "files"


def _moved(path: str, old: HubFile | None, new: HubFile | None) -> str:
    if old is None:
        return f"{path} is new"
    return f"{path} is gone" if new is None else f"{path} differs"


def _card_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    old = {key: was.get(key) for key in _LICENCE_FIELDS}
    new = {key: now.get(key) for key in _LICENCE_FIELDS}
    if old != new:
        yield Change(LICENCE, "The card names another licence.", old, new)


def _parent(one: Mapping[str, Any]) -> Any:
    return one.get("id"), one.get("relation"), one.get("state")


def _listed(
    kind: str,
    says: str,
    was: Mapping[str, Any],
    now: Mapping[str, Any],
    key: str,
    told: Callable[[Mapping[str, Any]], Any] = lambda one: tuple(sorted(one.items())),
) -> Iterator[Change]:
    before, after = was.get(key) or [], now.get(key) or []
    if sorted(map(repr, map(told, before))) != sorted(map(repr, map(told, after))):
        yield Change(kind, says, before, after)

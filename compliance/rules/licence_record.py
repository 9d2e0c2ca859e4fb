"""Say how an organisation's licence record moves, and who may move it.

    draft ──> proposed ──> active ──> superseded
      │          ├───────> refused
      └──────────┴───────> withdrawn

Pure. A version's words never change; a correction is the next version.
"""

import re
from typing import Final, Literal

State = Literal["draft", "proposed", "active", "refused", "superseded", "withdrawn"]
Change = Literal["add", "override", "retire"]

MOVES: Final[dict[State, frozenset[State]]] = {
    "draft": frozenset({"proposed", "withdrawn"}),
    "proposed": frozenset({"active", "refused", "withdrawn"}),
    "active": frozenset({"superseded"}),
    "refused": frozenset(),
    "superseded": frozenset(),
    "withdrawn": frozenset(),
}
OPEN: Final[frozenset[State]] = frozenset({"draft", "proposed"})
TERMINAL: Final[frozenset[State]] = frozenset({"refused", "superseded", "withdrawn"})
# The moves by which one person judges another's work.
DECISIONS: Final[frozenset[State]] = frozenset({"active", "refused"})

MAX_KEY: Final = 100
_KEY: Final = re.compile(r"[a-z0-9](?:[a-z0-9.+_-]*[a-z0-9])?")
# Words that stand where a key would in an address.
RESERVED: Final = frozenset({"proposals", "new", "check", "history", "edit"})


class RecordError(ValueError):
    """Refuse a move; `code` is stable: move_not_allowed, own_proposal or not_the_author."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def check_move(old: State, new: State, *, author: str, person: str) -> None:
    """Let pass a move of one version by one person.

    Law: whoever wrote a version neither approves nor refuses it; nobody else withdraws it.

    Raises:
        RecordError.
    """
    if new not in MOVES[old]:
        raise RecordError("move_not_allowed", f"It is {old} and cannot become {new}.")
    if new in DECISIONS and person == author:
        raise RecordError(
            "own_proposal", f"{author} wrote this version; somebody else has to decide on it."
        )
    if old in OPEN and new not in DECISIONS and person != author:
        raise RecordError("not_the_author", f"Only {author}, who wrote it, can do this.")


def key_fault(key: str) -> str | None:
    """Say what is wrong with a catalogue key, or None."""
    if key in RESERVED:
        return f"'{key}' is a word of the address; choose another key"
    if len(key) > MAX_KEY or not _KEY.fullmatch(key):
        return (
            f"'{key[:MAX_KEY]}' is no key: lower-case letters, digits, dots and dashes, at most "
            f"{MAX_KEY}, such as house-licence-2026-01-15"
        )
    return None


def change_of(key: str, *, in_base: bool) -> Change:
    """Name what a record with words does to its key."""
    return "override" if in_base else "add"

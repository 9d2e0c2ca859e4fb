"""Say how a policy's version moves, and who may move it.

    draft ──> active ──> retired ──> active ...

Pure. Putting rules in force takes two people, and so does taking them away: whoever wrote a
version cannot activate it, and whoever activated it cannot retire it.
"""

from typing import Final, Literal

State = Literal["draft", "active", "retired"]

MOVES: Final[dict[State, frozenset[State]]] = {
    "draft": frozenset({"active"}),
    "active": frozenset({"retired"}),
    "retired": frozenset({"active"}),
}


class PolicyMoveError(ValueError):
    """Refuse a move; `code` is stable: move_not_allowed, own_policy or own_activation."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def check_move(old: State, new: State, *, author: str, activated_by: str, person: str) -> None:
    """Let pass a move of one version by one person; `activated_by` is empty for a draft.

    Raises:
        PolicyMoveError.
    """
    if new not in MOVES[old]:
        raise PolicyMoveError("move_not_allowed", f"It is {old} and cannot become {new}.")
    if new == "active" and person == author:
        raise PolicyMoveError(
            "own_policy", f"{author} wrote this version; somebody else has to activate it."
        )
    if new == "retired" and person == activated_by:
        raise PolicyMoveError(
            "own_activation",
            f"{activated_by} activated this version; somebody else has to retire it.",
        )

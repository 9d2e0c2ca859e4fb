"""The shapes of what is known about a model's licence: what binds, how sure, what stays open."""

from dataclasses import dataclass
from typing import Literal

from compliance.rules.catalogue import LicenceVersion

Resolution = Literal[
    "exact_text",
    "pinned",
    "declared",
    "candidates",
    "choice",
    "near_text",
    "second_text",
    "unresolved",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Name something about a model's licence that a person must settle."""

    code: str
    because: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Hold a sentence of a card that asks for something and is no term of the licence.

    `source` says where it stands (card, gate, notice).
    """

    licence: str
    source: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Say which licence versions bind a model and how sure that is.

    `licences` all bind, except when `how` is "candidates": then one of them does and nobody knows
    which. When it is "choice", the licensee may pick one of `choices`, each a tuple of the keys
    that bind together; until it has, all of `licences` stand here. `own` is False when the model
    declares nothing at all. `doubtful` are (licence key, clause id) whose quote does not stand in
    the stored text. `papers` are stored policies and addenda: no licence by themselves.
    """

    how: Resolution
    licences: tuple[LicenceVersion, ...]
    problems: tuple[Problem, ...] = ()
    own: bool = True
    doubtful: frozenset[tuple[str, str]] = frozenset()
    choices: tuple[tuple[str, ...], ...] = ()
    papers: tuple[LicenceVersion, ...] = ()
    advice: tuple[Advice, ...] = ()

"""Read the `license` field of a card: one id, a list of ids, or an SPDX licence expression.

Symbols are the catalogue's own ids, since public indexes lack many model licences.
"""

import re
from dataclasses import dataclass
from itertools import product

from license_expression import (  # type: ignore[import-untyped]
    AND,
    OR,
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    ParseError,
)

from compliance.rules.catalogue import Library, LicenceVersion

MAX_CHOICES = 16
_MAX_CHARS = 1000
_OPERATOR = re.compile(r"(?i)\b(and|or|with)\b|[(),\[\]]")
_LIST = re.compile(r"[^()]*")
_LATER = re.compile(r"(?i)(-only|-or-later|\+)$")


@dataclass(frozen=True, slots=True)
class Term:
    """Hold one id of an expression as written, and the versions that it may mean."""

    name: str
    versions: tuple[LicenceVersion, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """Hold an expression as alternatives, each a tuple of terms that all bind."""

    alternatives: tuple[tuple[Term, ...], ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """List the ids that the catalogue does not hold."""
        names = (term.name for one in self.alternatives for term in one if not term.versions)
        return tuple(dict.fromkeys(names))


def read_expression(value: str, library: Library) -> Expression | None:
    """Read a list or an SPDX expression; None for a plain id and for what is no expression.

    In a list all ids bind, since a card does not say that one may be chosen.
    Source: SPDX 2.3 Annex D (AND: all apply; OR: a choice).
    """
    if len(value) > _MAX_CHARS or not _OPERATOR.search(value):
        return None
    try:
        parsed = Licensing().parse(_joined(value), simple=True)
    except (ExpressionError, ParseError):
        return None
    choices = [] if parsed is None else _alternatives(parsed)
    if not 0 < len(choices) <= MAX_CHOICES:
        return None
    terms = tuple(tuple(_term(name, library) for name in one) for one in choices)
    return Expression(terms)


def _joined(value: str) -> str:
    """Write a list ("a, b" or "[a, b]") as an expression in which all ids bind."""
    bare = value.strip().removeprefix("[").removesuffix("]")
    if "," not in bare or not _LIST.fullmatch(bare):
        return bare
    items = [one.strip().strip("'\"") for one in bare.split(",")]
    return " AND ".join(f"({one})" for one in items if one)


def _alternatives(node: object) -> list[tuple[str, ...]]:
    """Multiply an expression out into alternatives of names; too many become none."""
    if isinstance(node, OR):
        found = [one for inner in node.args for one in _alternatives(inner)]
    elif isinstance(node, AND):
        sides = [_alternatives(inner) for inner in node.args]
        size = 1
        for side in sides:
            size *= len(side)
        if not 0 < size <= MAX_CHOICES:
            return []
        found = [tuple(name for one in combined for name in one) for combined in product(*sides)]
    else:
        found = [(_name(node),)]
    return list(dict.fromkeys(tuple(dict.fromkeys(one)) for one in found))[: MAX_CHOICES + 1]


def _name(node: object) -> str:
    if isinstance(node, LicenseWithExceptionSymbol):
        # An exception changes the licence, so the pair is one name that the catalogue may know.
        return f"{node.license_symbol.key} WITH {node.exception_symbol.key}"
    return str(node.key) if isinstance(node, LicenseSymbol) else str(node)


def _term(name: str, library: Library) -> Term:
    return Term(name, named_by_id(name, library))


def named_by_id(name: str, library: Library) -> tuple[LicenceVersion, ...]:
    """List the versions that an id may mean: a hub id, an SPDX id, or a catalogue key."""
    bare = name.strip().removeprefix("LicenseRef-").removeprefix("scancode-")
    for wanted in dict.fromkeys((name, bare, _LATER.sub("", name))):
        found = library.declared_by_id(wanted) or _by_spdx(wanted, library)
        if found:
            return found
    return ()


def _by_spdx(name: str, library: Library) -> tuple[LicenceVersion, ...]:
    wanted = name.casefold()
    return tuple(one for one in library.licences.values() if (one.spdx or "").casefold() == wanted)

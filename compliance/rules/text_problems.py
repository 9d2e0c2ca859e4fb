"""Word what is wrong with stored licence files and gates, so that a person can settle it."""

from collections.abc import Iterable

from compliance.rules.catalogue import LicenceVersion
from compliance.rules.licence_file import ClauseChange, TextMatch, TextReading
from compliance.rules.resolved import Problem

_SHOWN_CHANGES = 3
_SHOWN_CHARS = 300
_KEEP = "Store a complete copy of the licence as published, or have a legal reviewer pin it."
_COMPARE = (
    "Have a legal reviewer compare the two texts clause by clause, then pin a version "
    "(lictor licence identify shows the words)."
)


def text_problems(reading: TextReading) -> tuple[Problem, ...]:
    """List what keeps a stored file from settling anything by itself."""
    found = [*_whole_file(reading)]
    found += [altered(one) for one in reading.parts if one.outcome == "near"]
    if reading.parts and reading.html:
        found.append(_page(reading))
    if reading.extra:
        found.append(_surrounded(reading))
    if reading.disguised and reading.outcome != "exact":
        found.append(_disguised(reading))
    return tuple(found)


def _whole_file(reading: TextReading) -> Iterable[Problem]:
    if reading.outcome == "empty":
        because = f"{reading.path} holds 0 bytes of text: it grants nothing that can be read."
        yield Problem(code="text_empty", because=because, remedy=_KEEP)
    if reading.outcome == "unreadable":
        because = f"{reading.path} is named as the licence but could not be read as text."
        yield Problem(code="text_unreadable", because=because, remedy=_KEEP)
    if reading.outcome == "unknown":
        kind = " (an HTML page)" if reading.html else ""
        because = (
            f"{reading.path}{kind} matches no text in the catalogue (closest likeness "
            f"{reading.likeness:.2f})."
        )
        remedy = "Have a legal reviewer read it, then pin it or add it to the catalogue."
        yield Problem(code="text_unknown", because=because, remedy=remedy)


def altered(match: TextMatch) -> Problem:
    """Say which known text a file resembles and which clauses were changed in it."""
    key = "" if match.licence is None else match.licence.key
    names = ", ".join(match.altered_clauses) or "none of the recorded clauses"
    because = (
        f"{match.path} resembles '{key}' (likeness {min(match.likeness, 0.999):.3f}) but its words "
        f"differ; changed clauses: {names}.{shown_changes(match.clauses)}"
    )
    if match.passages:
        because += f" Not in the known text: {_short(match.passages)}."
    return Problem(code="text_altered", because=because, remedy=_COMPARE)


def shown_changes(clauses: Iterable[ClauseChange]) -> str:
    """Show the first changes of altered clauses as [-known-]{+found+}, for a sentence's end."""
    told = []
    for clause in clauses:
        said = "; ".join(str(one) for one in clause.changes[:_SHOWN_CHANGES])
        told.append(f"{clause.id}: {said}" if said else f"{clause.id}: not found")
    shown = told[:_SHOWN_CHANGES]
    return "" if not shown else f" ({' | '.join(one[:_SHOWN_CHARS] for one in shown)})"


def _short(passages: Iterable[str]) -> str:
    return " / ".join(f"“{one[:_SHOWN_CHARS]}”" for one in list(passages)[:_SHOWN_CHANGES])


def _surrounded(reading: TextReading) -> Problem:
    keys = ", ".join(one.licence.key for one in reading.parts if one.licence is not None)
    return Problem(
        code="text_surrounded",
        because=f"{reading.path} holds {keys} and other words beside it: {_short(reading.extra)}.",
        remedy="Have a legal reviewer say whether those words change the licence, then pin it.",
    )


def _page(reading: TextReading) -> Problem:
    return Problem(
        code="text_is_html",
        because=f"{reading.path} is a saved HTML page; its markup can hide or add words.",
        remedy=_KEEP,
    )


def _disguised(reading: TextReading) -> Problem:
    return Problem(
        code="text_disguised",
        because=f"{reading.path} hides marks or foreign letters in words: "
        f"{', '.join(reading.disguised[:_SHOWN_CHANGES])}.",
        remedy="Find out who changed the file; compare it with the published text.",
    )


def gate_differs(licence: LicenceVersion, because: str) -> Problem:
    """Say that a gate words a licence differently; the agreement itself governs."""
    return Problem(
        code="gate_differs",
        because=f"The gate words '{licence.key}' differently from the agreement: {because}",
        remedy="The agreement governs; have a legal reviewer confirm it and keep the gate's text.",
    )

"""Hold the text that a hub shows before a download against the licence it stands for.

A gate that repeats a licence word for word is a copy of it. Any other is evidence of what people
were shown, never the licence itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.declared import PAPERS
from compliance.rules.facts import LicenceText, Statement
from compliance.rules.licence_file import ClauseChange, TextReading, clause_changes, read_text
from compliance.rules.resolved import Problem
from compliance.rules.statements import Named
from compliance.rules.text_problems import gate_differs, shown_changes
from compliance.rules.textdiff import spell

GATE = "gate text"
_EXTRA_WORDS = 25


@dataclass(frozen=True, slots=True)
class Gate:
    """Hold one gate with what was found in it."""

    reading: TextReading
    text: str

    @property
    def said(self) -> str:
        """Give the words that no known licence explains."""
        return "\n".join(self.reading.extra) if self.reading.parts else self.text

    @property
    def copies(self) -> tuple[LicenceVersion, ...]:
        """List the licences that the gate repeats word for word."""
        exact = (one for one in self.reading.parts if one.outcome in ("exact", "contains"))
        return tuple(one.licence for one in exact if one.licence is not None)

    def shows(self) -> Iterable[Named]:
        """Name the licences whose text the gate shows, whole or altered."""
        for part in self.reading.parts:
            if part.licence is None or part.licence.role in PAPERS:
                continue
            whole = part.outcome != "near"
            told = f"{'the whole' if whole else 'an altered'} text of {part.licence.title}"
            yield Named((part.licence,), "applies" if whole else "unclear", "gate", told)


def read_gates(statements: Iterable[Statement], library: Library) -> tuple[Gate, ...]:
    """Read every gate text as if it were a stored file."""
    texts = [one.text for one in statements if one.source == "gate" and one.text.strip()]
    return tuple(Gate(read_text(LicenceText(path=GATE, text=one), library), one) for one in texts)


def gate_problems(
    gate: Gate, bound: tuple[LicenceVersion, ...], *, settled: bool
) -> tuple[Problem, ...]:
    """List how a gate departs from the licences that bind.

    `settled` says that all of `bound` apply; otherwise one version of them does, and the gate
    departs only if it departs from each.
    """
    if gate.copies:
        return tuple(_other_version(gate, bound)) + tuple(_more_words(gate))
    told = {one.key: _altered(one, gate) for one in bound if settled or _tells_of(one, gate)}
    if not told or (not settled and not all(told.values())):
        return ()
    if not settled:
        told = dict([min(told.items(), key=lambda item: (len(item[1]), item[0]))])
    licences = {one.key: one for one in bound}
    return tuple(
        gate_differs(
            licences[key],
            f"clauses {', '.join(one.id for one in changes)}.{shown_changes(changes)}",
        )
        for key, changes in told.items()
        if changes
    )


def _tells_of(licence: LicenceVersion, gate: Gate) -> bool:
    """Say whether the gate tells any clause of a version, in its words or in others."""
    changes = clause_changes(licence.clauses, spell(gate.text))
    return any(one.kind == "altered" for one in changes) or len(changes) < len(licence.clauses)


def _altered(licence: LicenceVersion, gate: Gate) -> tuple[ClauseChange, ...]:
    """List the clauses that the gate tells in other words; leaving one out is no other wording."""
    changes = clause_changes(licence.clauses, spell(gate.text))
    return tuple(one for one in changes if one.kind == "altered")


def _other_version(gate: Gate, bound: tuple[LicenceVersion, ...]) -> Iterable[Problem]:
    keys = {one.key for one in bound}
    for shown in gate.copies:
        governing = [one for one in bound if one.family == shown.family]
        if governing and shown.key not in keys:
            because = f"it shows the words of '{shown.key}'."
            yield gate_differs(governing[0], because)


def _more_words(gate: Gate) -> Iterable[Problem]:
    said = [one for one in gate.reading.extra if len(one.split()) > _EXTRA_WORDS]
    if said:
        yield gate_differs(gate.copies[0], f"it adds words of its own: “{said[0][:300]}”.")

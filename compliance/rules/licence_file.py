"""Say what one stored licence file is: which known texts it holds, and how they were altered.

Pure: takes the decoded text and the catalogue. Titles and names prove nothing here.
"""

from dataclasses import dataclass
from typing import Literal

from compliance.rules.catalogue import Clause, Library, LicenceVersion
from compliance.rules.decoding import is_html, shown_text, without_markdown
from compliance.rules.facts import LicenceText
from compliance.rules.matching import Part, Parts, find_parts, strange_spans
from compliance.rules.text import clause_digest, contains_words, licence_words, text_digest, words
from compliance.rules.text_index import TextIndex, index_of
from compliance.rules.textdiff import (
    Finder,
    Spelling,
    WordChange,
    diff_texts,
    disguised_words,
    spell,
)

TextOutcome = Literal["exact", "contains", "near", "unknown", "empty", "unreadable"]
# Words that stand over a licence without changing it, beside those of its own names.
_HEADINGS = frozenset({"license", "licence", "licenses", "agreement", "text", "copyright", "c"})
_HEADING_WORDS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseChange:
    """Say that a clause's recorded words do not stand in a text as they are.

    `kind` is "altered" (its passage stands there with other words: `changes`) or "missing".
    `quote_sha256` digests the recorded words (`text.clause_digest`).
    """

    id: str
    section: str
    kind: Literal["altered", "missing"]
    quote_sha256: str
    changes: tuple[WordChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatch:
    """Say what a licence text, or a part of one, turned out to be.

    "contains" is a known text word for word with other words around it. `likeness` is 0 to 1.
    `clauses` are those whose words are not there; `passages` are stretches that the known text
    does not have.
    """

    outcome: TextOutcome
    path: str
    licence: LicenceVersion | None = None
    likeness: float = 0.0
    clauses: tuple[ClauseChange, ...] = ()
    passages: tuple[str, ...] = ()

    @property
    def altered_clauses(self) -> tuple[str, ...]:
        """List the ids of the clauses whose words are not there."""
        return tuple(one.id for one in self.clauses)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReading:
    """Hold everything one file says: each licence in it, and the words that none explains.

    `disguised` are words with hidden marks or look-alike letters. `closest` names the nearest
    licence of a text that is not known at all.
    """

    path: str
    outcome: TextOutcome
    parts: tuple[TextMatch, ...] = ()
    extra: tuple[str, ...] = ()
    likeness: float = 0.0
    closest: str = ""
    html: bool = False
    disguised: tuple[str, ...] = ()

    @property
    def main(self) -> TextMatch:
        """Give the first licence of the file, or what there is instead of one."""
        if self.parts:
            return self.parts[0]
        return TextMatch(outcome=self.outcome, path=self.path, likeness=self.likeness)


def identify_text(stored: LicenceText, library: Library) -> TextMatch:
    """Match one stored licence text against the catalogue; of several, the first.

    Law: an edit of any one word turns "exact" into something else.
    """
    return read_text(stored, library).main


def read_text(stored: LicenceText, library: Library) -> TextReading:
    """Find every known licence in one stored file, and how each differs from its known text."""
    if stored.text is None:
        return TextReading(path=stored.path, outcome="unreadable")
    if not stored.text.strip():
        return TextReading(path=stored.path, outcome="empty")
    index = index_of(library)
    page = is_html(stored.text)
    shown = shown_text(stored.text) if page else stored.text
    # Markup can hide words or add some, so a saved page is no proof of what its text says.
    exact = None if page else _exact(stored.path, shown, index)
    if exact is not None:
        return exact
    rendered = without_markdown(shown)
    if rendered == shown:
        return _read_parts(stored.path, shown, index, page=page)
    exact = None if page else _exact(stored.path, rendered, index)
    if exact is not None:
        return exact
    readings = [_read_parts(stored.path, text, index, page=page) for text in (shown, rendered)]
    return max(readings, key=_explained)


def _exact(path: str, text: str, index: TextIndex) -> TextReading | None:
    key = index.by_digest.get(text_digest(text))
    if key is None:
        return None
    match = TextMatch(outcome="exact", path=path, licence=index.licences[key], likeness=1.0)
    return TextReading(path=path, outcome="exact", parts=(match,), likeness=1.0)


def _explained(reading: TextReading) -> tuple[int, float]:
    exact = sum(one.outcome in ("exact", "contains") for one in reading.parts)
    return exact, sum(one.likeness for one in reading.parts)


def _read_parts(path: str, text: str, index: TextIndex, *, page: bool) -> TextReading:
    found = licence_words(text)
    if not found:
        return TextReading(path=path, outcome="empty", html=page)
    parts = find_parts(found, index)
    spelling = spell(text)
    if spelling.words != found:
        # Splitting by pieces and by the whole text may differ in odd scripts; words always hold.
        spelling = Spelling(found, found, list(range(len(found))))
    extra = tuple(
        spelling.show(*span)
        for span in parts.rest
        if not _is_heading(found[slice(*span)], parts, index)
    )
    outcome = _outcome(parts, surrounded=bool(extra) or page)
    around: TextOutcome = "contains" if outcome == "contains" else "exact"
    return TextReading(
        path=path,
        outcome=outcome,
        parts=tuple(_match(path, part, spelling, index, around) for part in parts.found),
        extra=extra if parts.found else (),
        likeness=parts.likeness,
        closest=parts.nearest,
        html=page,
        disguised=disguised_words(text),
    )


def _outcome(parts: Parts, *, surrounded: bool) -> TextOutcome:
    if not parts.found:
        return "unknown"
    if not all(part.exact for part in parts.found):
        return "near"
    return "contains" if surrounded else "exact"


def _is_heading(found: list[str], parts: Parts, index: TextIndex) -> bool:
    """Say whether a stretch is only the name of a licence that was found, as over its text."""
    if not parts.found or len(found) > _HEADING_WORDS_MAX:
        return False
    return any(set(found) <= index.headings[part.key] | _HEADINGS for part in parts.found)


def _match(
    path: str, part: Part, spelling: Spelling, index: TextIndex, exact: TextOutcome
) -> TextMatch:
    licence = index.licences[part.key]
    if part.exact:
        return TextMatch(outcome=exact, path=path, licence=licence, likeness=1.0)
    stretch = _cut(spelling, part.start, part.end)
    return TextMatch(
        outcome="near",
        path=path,
        licence=licence,
        likeness=part.likeness,
        clauses=clause_changes(licence.clauses, stretch),
        passages=tuple(spelling.show(*span) for span in strange_spans(spelling.words, part, index)),
    )


def _cut(spelling: Spelling, start: int, end: int) -> Spelling:
    return Spelling(spelling.words[start:end], spelling.pieces, spelling.piece_of[start:end])


def clause_changes(clauses: tuple[Clause, ...], text: Spelling) -> tuple[ClauseChange, ...]:
    """List the clauses whose recorded words do not stand in a text, with what stands instead."""
    lost = [one for one in clauses if not contains_words(text.words, words(one.quote))]
    finder = Finder(text) if lost else None
    return tuple(_clause_change(one, finder) for one in lost if finder is not None)


def _clause_change(clause: Clause, finder: Finder) -> ClauseChange:
    changes = finder.changes(spell(clause.quote))
    return ClauseChange(
        id=clause.id,
        section=clause.section,
        kind="missing" if changes is None else "altered",
        quote_sha256=clause_digest(clause.quote),
        changes=changes or (),
    )


def compare_whole(match: TextMatch, stored: str, known: str) -> tuple[WordChange, ...]:
    """List all differences of an altered text from a copy of the known one.

    Raises:
        ValueError: when `known` is not the text that the catalogue means by this licence.
    """
    if match.licence is None or text_digest(known) not in match.licence.text_sha256:
        raise ValueError("the copy is not the catalogued text; compare with one whose digest is")
    return diff_texts(known, stored)

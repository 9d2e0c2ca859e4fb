"""Say which catalogued licence a text is, and which licence versions bind a model.

A text is exact (every word known), near (known but altered) or unknown. Titles and names prove
nothing: counterfeit texts carry the right title.
"""

from dataclasses import dataclass
from typing import Literal

from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.facts import LicenceText, ModelFacts
from compliance.rules.text import contains_quote, similarity, sketch, text_digest

NEAR = 0.6
"""Smallest similarity that still names a relative. Measured: the closest other version of one
family stands at 0.88, a version of another year at 0.62, a counterfeit at 0.02."""

TextOutcome = Literal["exact", "near", "unknown", "empty", "unreadable"]
Resolution = Literal[
    "exact_text", "pinned", "declared", "candidates", "near_text", "second_text", "unresolved"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatch:
    """Say what a licence text turned out to be; `altered_clauses` are ids whose quote is gone."""

    outcome: TextOutcome
    path: str
    licence: LicenceVersion | None = None
    likeness: float = 0.0
    altered_clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Name something about a model's licence that a person must settle."""

    code: str
    because: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Say which licence versions bind a model and how sure that is.

    `licences` all bind, except when `how` is "candidates": then one of them does and nobody knows
    which. `own` is False when the model declares nothing at all. `doubtful` are (licence key,
    clause id) whose quote does not stand in the stored text.
    """

    how: Resolution
    licences: tuple[LicenceVersion, ...]
    problems: tuple[Problem, ...] = ()
    own: bool = True
    doubtful: frozenset[tuple[str, str]] = frozenset()


def identify_text(stored: LicenceText, library: Library) -> TextMatch:
    """Match one stored licence text against the catalogue.

    Law: an edit of any one word turns "exact" into something else.
    """
    if stored.text is None:
        return TextMatch(outcome="unreadable", path=stored.path)
    if not stored.text.strip():
        return TextMatch(outcome="empty", path=stored.path)
    digest = text_digest(stored.text)
    for licence in library.licences.values():
        if digest in licence.text_sha256:
            return TextMatch(outcome="exact", path=stored.path, licence=licence, likeness=1.0)
    return _nearest(stored.path, stored.text, library)


def _nearest(path: str, text: str, library: Library) -> TextMatch:
    mine = sketch(text)
    scored = [
        (similarity(mine, one.text_sketch), key)
        for key, one in library.licences.items()
        if one.text_sketch
    ]
    likeness, key = max(scored, default=(0.0, ""))
    if likeness < NEAR:
        return TextMatch(outcome="unknown", path=path, likeness=likeness)
    licence = library.licences[key]
    altered = tuple(one.id for one in licence.clauses if not contains_quote(text, one.quote))
    return TextMatch(
        outcome="near", path=path, licence=licence, likeness=likeness, altered_clauses=altered
    )


def resolve(model: ModelFacts, library: Library) -> Resolved:
    """Say which licence versions bind one model by itself, lineage aside.

    A pin decides; then a stored text; then what the card declares. Whatever contradicts or stays
    open becomes a problem, never a guess.
    """
    matches = _telling([identify_text(item, library) for item in _licence_files(model)])
    declared, unclear = _declared(model, library)
    if model.license_pin is not None:
        return _pinned(model, matches, library)
    if matches:
        return _from_texts(model, matches, declared)
    return _from_declaration(model, declared, unclear)


def _licence_files(model: ModelFacts) -> tuple[LicenceText, ...]:
    """Keep the files that state a licence: NOTICE files only repeat names."""
    return tuple(
        item
        for item in sorted(model.licence_texts, key=lambda one: one.path)
        if not item.path.rsplit("/", 1)[-1].casefold().startswith("notice")
    )


def _telling(matches: list[TextMatch]) -> list[TextMatch]:
    """Drop side papers (use policies, addenda) the catalogue does not know, if a licence is."""
    if not any(one.outcome in ("exact", "near") for one in matches):
        return matches
    return [one for one in matches if one.outcome != "unknown" or _is_licence_name(one.path)]


def _is_licence_name(path: str) -> bool:
    name = path.rsplit("/", 1)[-1].casefold()
    return name.startswith(("licen", "copying"))


def _pinned(model: ModelFacts, matches: list[TextMatch], library: Library) -> Resolved:
    key = model.license_pin or ""
    licence = library.get(key)
    if licence is None:
        problem = Problem(
            code="licence_unknown",
            because=f"The licence was pinned to '{key}', which the catalogue does not hold.",
            remedy="Pin a catalogue key, or add this licence to the catalogue.",
        )
        return Resolved(how="unresolved", licences=(), problems=(problem,))
    other = [one for one in matches if one.outcome == "exact" and one.licence != licence]
    problems = tuple(
        Problem(
            code="pin_contradicts_text",
            because=f"The licence was pinned to '{key}', but {one.path} is word for word "
            f"'{_key(one)}'.",
            remedy="Have the legal reviewer choose again with the stored text at hand.",
        )
        for one in other
    )
    also = tuple(one.licence for one in other if one.licence is not None)
    return Resolved(how="pinned", licences=(licence, *also), problems=problems)


def _key(match: TextMatch) -> str:
    return "nothing known" if match.licence is None else match.licence.key


def _from_texts(
    model: ModelFacts, matches: list[TextMatch], declared: tuple[LicenceVersion, ...]
) -> Resolved:
    problems = [problem for match in matches for problem in _text_problems(match)]
    known = [one for one in matches if one.licence is not None]
    found = tuple({_key(one): one.licence for one in known if one.licence is not None}.values())
    if not found:
        if not declared and _says_something(model):
            problems.append(_unknown_name(model))
        return Resolved(
            how="candidates" if len(declared) > 1 else "declared" if declared else "unresolved",
            licences=declared,
            problems=tuple(problems),
        )
    families = {one.family for one in found}
    strangers = tuple(one for one in declared if one.family not in families)
    if strangers:
        problems.append(_mismatch(model, found, strangers))
    exact = all(one.outcome == "exact" for one in known)
    extra = strangers if len(strangers) == 1 else ()
    return Resolved(
        how="exact_text" if exact else "near_text",
        licences=(*found, *extra),
        problems=tuple(problems),
        doubtful=frozenset((_key(one), name) for one in known for name in one.altered_clauses),
    )


def _text_problems(match: TextMatch) -> tuple[Problem, ...]:
    keep = "Store a complete copy of the licence as published, or have a legal reviewer pin it."
    if match.outcome == "empty":
        because = f"{match.path} holds 0 bytes of text: it grants nothing that can be read."
        return (Problem(code="text_empty", because=because, remedy=keep),)
    if match.outcome == "unreadable":
        because = f"{match.path} is named as the licence but could not be read as text."
        return (Problem(code="text_unreadable", because=because, remedy=keep),)
    if match.outcome == "unknown":
        because = (
            f"{match.path} matches no text in the catalogue (closest likeness "
            f"{match.likeness:.2f})."
        )
        remedy = "Have a legal reviewer read it, then pin it or add it to the catalogue."
        return (Problem(code="text_unknown", because=because, remedy=remedy),)
    if match.outcome == "near" and match.licence is not None:
        return (_altered(match, match.licence),)
    return ()


def _altered(match: TextMatch, licence: LicenceVersion) -> Problem:
    changed = ", ".join(match.altered_clauses) or "none of the recorded clauses"
    because = (
        f"{match.path} resembles '{licence.key}' (likeness {match.likeness:.2f}) but its words "
        f"differ; changed clauses: {changed}."
    )
    remedy = "Have a legal reviewer compare the two texts clause by clause, then pin a version."
    return Problem(code="text_altered", because=because, remedy=remedy)


def _mismatch(
    model: ModelFacts, found: tuple[LicenceVersion, ...], declared: tuple[LicenceVersion, ...]
) -> Problem:
    stored = ", ".join(one.key for one in found)
    said = model.license_name or model.license or model.license_link
    return Problem(
        code="text_contradicts_card",
        because=f"The card of {model.id} says '{said}' ({declared[0].family}), but the stored "
        f"text is {stored}.",
        remedy="Ask the publisher which one governs; until then both are applied.",
    )


def _says_something(model: ModelFacts) -> bool:
    return any((model.license, model.license_name, model.license_link))


def _unknown_name(model: ModelFacts) -> Problem:
    said = [value for value in (model.license, model.license_name, model.license_link) if value]
    return Problem(
        code="licence_unknown",
        because=f"{model.id} declares {' / '.join(said)}, which the catalogue does not hold.",
        remedy="Read the licence and add it to the catalogue, or pin the version that applies.",
    )


def _from_declaration(
    model: ModelFacts, declared: tuple[LicenceVersion, ...], unclear: tuple[Problem, ...]
) -> Resolved:
    if not _says_something(model):
        problem = Problem(
            code="licence_missing",
            because=f"{model.id} declares no licence and no licence text is stored.",
            remedy="Ask the publisher for a licence; without one there is no permission.",
        )
        return Resolved(how="unresolved", licences=(), problems=(problem,), own=False)
    if not declared:
        problems = (_unknown_name(model), *unclear)
        return Resolved(how="unresolved", licences=(), problems=problems)
    if len(declared) > 1:
        return Resolved(how="candidates", licences=declared, problems=unclear)
    return Resolved(how="declared", licences=declared, problems=unclear)


def _declared(
    model: ModelFacts, library: Library
) -> tuple[tuple[LicenceVersion, ...], tuple[Problem, ...]]:
    """Collect the versions that id, name and link allow together."""
    sets = []
    if model.license and model.license.strip().casefold() not in ("other", "unknown"):
        sets.append(library.declared_by_id(model.license))
    if model.license_name:
        sets.append(library.declared_by_name(model.license_name))
    if model.license_link and "/" in model.license_link:
        by_link = library.declared_by_link(model.license_link)
        # An address the catalogue has not seen adds nothing and takes nothing away.
        if by_link or not sets:
            sets.append(by_link)
    if not sets:
        return (), ()
    return _agree(model, sets)


def _agree(
    model: ModelFacts, sets: list[tuple[LicenceVersion, ...]]
) -> tuple[tuple[LicenceVersion, ...], tuple[Problem, ...]]:
    shared = [one for one in sets[0] if all(one in other for other in sets[1:])]
    if shared:
        return tuple(shared), ()
    every = {one.key: one for group in sets for one in group}
    if not every:
        return (), ()
    problem = Problem(
        code="declarations_disagree",
        because=f"{model.id}: its license, license_name and license_link do not name one licence "
        f"the catalogue holds.",
        remedy="Correct the card, or have a legal reviewer pin the version that applies.",
    )
    return tuple(every[key] for key in sorted(every)), (problem,)

"""Say which licence versions bind a model by itself, from files, fields, prose and pins.

A text is exact (every word known), near (known but altered) or unknown. Titles and names prove
nothing: counterfeit texts carry the right title.
"""

import re
from dataclasses import dataclass, replace

from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.declared import PAPERS, Declared, read_declared
from compliance.rules.facts import LicenceText, ModelFacts, Statement
from compliance.rules.gates import Gate, gate_problems, read_gates
from compliance.rules.licence_file import TextMatch, TextReading, identify_text, read_text
from compliance.rules.matching import NEAR
from compliance.rules.resolved import Advice, Problem, Resolved
from compliance.rules.stated import add_stated, governing
from compliance.rules.statements import read_advice, read_statement
from compliance.rules.text import words
from compliance.rules.text_problems import altered, text_problems

__all__ = ["NEAR", "Advice", "Problem", "Resolved", "TextMatch", "identify_text", "resolve"]

POINTER_WORDS_MAX = 400
"""A longer file that no known text explains is a licence of its own, whatever it points to."""


@dataclass(frozen=True, slots=True)
class _Files:
    """Hold what the stored files are: licences, papers beside them, and mere pointers."""

    licences: tuple[TextReading, ...]
    papers: tuple[TextMatch, ...]
    pointers: tuple[Statement, ...]

    @property
    def known(self) -> tuple[TextMatch, ...]:
        return tuple(part for one in self.licences for part in one.parts if not _is_paper(part))


def resolve(model: ModelFacts, library: Library) -> Resolved:
    """Say which licence versions bind one model by itself, lineage aside.

    A pin decides; then a stored text; then what the card declares; prose can add. Whatever
    contradicts or stays open becomes a problem, never a guess.
    """
    files = _read_files(model, library)
    declared = read_declared(model, library)
    gates = read_gates(model.statements, library)
    if model.license_pin is not None:
        base = _pinned(model, files, declared, library)
    elif files.licences:
        base = _from_texts(model, files, declared)
    else:
        base = _from_words(model, files, declared, gates, library)
    return _finish(model, base, files, gates, library)


def _read_files(model: ModelFacts, library: Library) -> _Files:
    readings = [read_text(item, library) for item in _licence_files(model)]
    texts = {item.path: item.text or "" for item in model.licence_texts}
    pointers = [one for one in readings if _points(one, texts[one.path], library)]
    papers = [part for one in readings for part in one.parts if _is_paper(part)]
    licences = [one for one in readings if one not in pointers and not _only_papers(one)]
    return _Files(
        _telling(licences),
        tuple(papers),
        tuple(Statement(source=one.path, text=texts[one.path]) for one in pointers),
    )


def _licence_files(model: ModelFacts) -> tuple[LicenceText, ...]:
    """Keep the files that state a licence: NOTICE files only repeat names."""
    return tuple(
        item
        for item in sorted(model.licence_texts, key=lambda one: one.path)
        if not item.path.rsplit("/", 1)[-1].casefold().startswith("notice")
    )


def _points(reading: TextReading, text: str, library: Library) -> bool:
    """Say whether a file holds no licence but names one, as "GOVERNING TERMS: ..." does.

    It must say nothing else: a file that names a licence and adds a term of its own is a text that
    nobody has read.
    """
    if reading.outcome != "unknown" or len(text.split()) > POINTER_WORDS_MAX:
        return False
    named = read_statement(Statement(source=reading.path, text=text), library)
    if governing(named) is None:
        return False
    return all(_only_names(part, reading.path, library) for part in _PARTS.split(text))


# A full stop inside a name or an address ("Llama 3.1", "june-2024.pdf") ends no sentence.
_PARTS = re.compile(r"[.;!?](?=\s|$)|\n\s*\n")
_SETTING_TERMS = """no not nor never only solely except unless without however but provided may
must shall cannot prohibited forbidden restricted required commercial noncommercial commercially
pay fee"""
_TERMS = frozenset(_SETTING_TERMS.split())
_SHORT_WORDS = 4


def _only_names(part: str, path: str, library: Library) -> bool:
    """Say whether a sentence names a licence, or a holder, or is a heading, and sets no term."""
    told = words(part)
    if not told or told[0] == "copyright" or told == ["all", "rights", "reserved"]:
        return True
    names = read_statement(Statement(source=path, text=part), library)
    said = " ".join(told)
    for licence in library.licences.values():
        for name in (licence.title, *licence.prose):
            said = said.replace(" ".join(words(name)), " ")
    if _TERMS.intersection(said.split()):
        return False
    return bool(names) or len(told) <= _SHORT_WORDS


def _is_paper(match: TextMatch) -> bool:
    return match.licence is not None and match.licence.role in PAPERS


def _only_papers(reading: TextReading) -> bool:
    return bool(reading.parts) and all(_is_paper(one) for one in reading.parts)


def _telling(readings: list[TextReading]) -> tuple[TextReading, ...]:
    """Drop side papers (use policies, addenda) the catalogue does not know, if a licence is."""
    if not any(one.parts for one in readings):
        return tuple(readings)
    return tuple(one for one in readings if one.parts or _is_licence_name(one.path))


def _is_licence_name(path: str) -> bool:
    name = path.rsplit("/", 1)[-1].casefold()
    return name.startswith(("licen", "copying"))


def _pinned(model: ModelFacts, files: _Files, declared: Declared, library: Library) -> Resolved:
    key = model.license_pin or ""
    licence = library.get(key)
    if licence is None:
        problem = Problem(
            code="licence_unknown",
            because=f"The licence was pinned to '{key}', which the catalogue does not hold.",
            remedy="Pin a catalogue key, or add this licence to the catalogue.",
        )
        return Resolved(how="unresolved", licences=(), problems=(problem,))
    # Of a choice such as "(a OR b) AND c", picking a leaves c standing.
    chosen = next((one for one in declared.choices if key in one), (key,))
    bound = tuple(one for name in chosen if (one := library.get(name)) is not None)
    other = [one for one in files.known if one.outcome != "near" and not _offered(one, declared)]
    other = [one for one in other if one.licence not in bound]
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
    return Resolved(how="pinned", licences=_unique((*bound, *also)), problems=problems)


def _offered(match: TextMatch, declared: Declared) -> bool:
    return any(_key(match) in one for one in declared.choices)


def _key(match: TextMatch) -> str:
    return "nothing known" if match.licence is None else match.licence.key


def _unique(licences: tuple[LicenceVersion, ...]) -> tuple[LicenceVersion, ...]:
    return tuple({one.key: one for one in licences}.values())


def _from_texts(model: ModelFacts, files: _Files, declared: Declared) -> Resolved:
    problems = [problem for one in files.licences for problem in text_problems(one)]
    problems += [one for one in declared.problems if one.code != "declarations_disagree"]
    found = _unique(tuple(one.licence for one in files.known if one.licence is not None))
    if not found:
        return _texts_tell_nothing(model, declared, problems)
    families = {one.family for one in found}
    strangers = tuple(one for one in declared.versions if one.family not in families)
    listed = declared.all_bind and families <= {one.family for one in declared.versions}
    if strangers and not listed:
        problems.append(_mismatch(model, found, strangers))
    exact = all(one.outcome != "near" for one in files.known)
    extra = strangers if len(strangers) == 1 or listed else ()
    return Resolved(
        how="choice" if listed and declared.choices else "exact_text" if exact else "near_text",
        licences=(*found, *extra),
        problems=tuple(problems),
        choices=declared.choices if listed else (),
    )


def _texts_tell_nothing(model: ModelFacts, declared: Declared, problems: list[Problem]) -> Resolved:
    if not declared.versions and _says_something(model):
        problems.append(_unknown_name(model))
    return replace(_of_declared(declared), problems=tuple(problems))


def _of_declared(declared: Declared) -> Resolved:
    several = len(declared.versions) > 1
    open_version = len({one.family for one in declared.versions}) < len(declared.versions)
    if not declared.versions:
        return Resolved(how="unresolved", licences=(), problems=declared.problems)
    if declared.choices:
        how = "choice"
    elif several and (open_version or not declared.all_bind):
        how = "candidates"
    else:
        how = "declared"
    return Resolved(
        how=how,  # type: ignore[arg-type]
        licences=declared.versions,
        problems=declared.problems,
        choices=declared.choices,
    )


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


def _from_words(
    model: ModelFacts,
    files: _Files,
    declared: Declared,
    gates: tuple[Gate, ...],
    library: Library,
) -> Resolved:
    """Resolve a model without a licence text from pointers, gate copies and its card's fields."""
    pointed = _pointed(files, library)
    if pointed:
        base = _from_pointer(model, files.pointers[0].source, pointed, declared)
    elif _says_something(model):
        base = _of_declared(declared)
        if not declared.versions and not declared.problems:
            base = replace(base, problems=(_unknown_name(model),))
    else:
        base = Resolved(
            how="unresolved", licences=(), problems=(_missing(model, files),), own=False
        )
    return _from_gates(base, gates)


def _pointed(files: _Files, library: Library) -> tuple[LicenceVersion, ...]:
    for statement in files.pointers:
        named = governing(read_statement(statement, library))
        if named is not None:
            return tuple(one for one in named.versions if one.role not in PAPERS)
    return ()


def _from_pointer(
    model: ModelFacts, path: str, pointed: tuple[LicenceVersion, ...], declared: Declared
) -> Resolved:
    shared = tuple(one for one in pointed if one in declared.versions)
    if shared or not declared.versions:
        how = "declared" if len(shared or pointed) == 1 else "candidates"
        return Resolved(how=how, licences=shared or pointed)  # type: ignore[arg-type]
    problem = _mismatch(model, pointed, declared.versions)
    both = _unique((*pointed, *declared.versions))
    return Resolved(
        how="candidates",
        licences=both,
        problems=(replace(problem, because=f"{problem.because} ({path} points to it.)"),),
    )


def _missing(model: ModelFacts, files: _Files) -> Problem:
    kept = ", ".join(_key(one) for one in files.papers)
    beside = f" Stored are only papers that are no licence by themselves: {kept}." if kept else ""
    return Problem(
        code="licence_missing",
        because=f"{model.id} declares no licence and no licence text is stored.{beside}",
        remedy="Ask the publisher for a licence; without one there is no permission.",
    )


def _from_gates(base: Resolved, gates: tuple[Gate, ...]) -> Resolved:
    """Let a gate that repeats a licence word for word settle which version is meant."""
    shown = _unique(tuple(one for gate in gates for one in gate.copies if one.role not in PAPERS))
    if not shown:
        return base
    if not base.licences and not base.own:
        return Resolved(how="exact_text", licences=shown)
    meant = tuple(one for one in base.licences if one in shown)
    if base.how == "candidates" and meant and len({one.family for one in base.licences}) == 1:
        return replace(base, how="exact_text", licences=meant)
    return base


def _finish(
    model: ModelFacts,
    base: Resolved,
    files: _Files,
    gates: tuple[Gate, ...],
    library: Library,
) -> Resolved:
    """Add what prose says, papers, doubtful clauses, gates that differ, and advice."""
    # What a gate repeats of a licence is no statement about another one; the words around it are.
    shown = [Statement(source="gate", text=gate.said) for gate in gates]
    said = [*files.pointers, *shown, *(one for one in model.statements if one.source != "gate")]
    named = [one for statement in said for one in read_statement(statement, library)]
    # Another version of a licence that binds is a gate that differs; another licence is one more.
    families = {one.family for one in base.licences}
    texts = [one for gate in gates for one in gate.shows()]
    named += [one for one in texts if one.versions[0].family not in families]
    full = add_stated(model, base, named)
    settled = full.how not in ("candidates", "choice")
    changed = [one for gate in gates for one in gate_problems(gate, full.licences, settled=settled)]
    near = [one for one in (*files.known, *files.papers) if one.clauses]
    stored = tuple(one.licence for one in files.papers if one.licence is not None)
    return replace(
        full,
        problems=(*full.problems, *_paper_problems(files, full.licences), *changed),
        doubtful=frozenset((_key(one), name) for one in near for name in one.altered_clauses),
        papers=_unique((*full.papers, *stored)),
        advice=read_advice(model.statements, library, frozenset(one.key for one in full.licences)),
    )


def _paper_problems(files: _Files, licences: tuple[LicenceVersion, ...]) -> tuple[Problem, ...]:
    """Report stored policies that were altered, and those that no binding licence takes in."""
    mixed = [part for one in files.licences for part in one.parts]
    problems = [altered(one) for one in files.papers if one.outcome == "near" and one not in mixed]
    taken_in = {key for one in licences for key in (*one.incorporates, one.key)}
    problems += [_unattached(one) for one in files.papers if licences and _key(one) not in taken_in]
    return tuple(problems)


def _unattached(paper: TextMatch) -> Problem:
    return Problem(
        code="paper_unattached",
        because=f"{paper.path} is '{_key(paper)}', which no licence of this model makes part of "
        "itself.",
        remedy="Have a legal reviewer say whether it binds, and pin the licence.",
    )

"""Read prose that came with a model: which licences does it say apply, and which does it mention?

A sentence binds only when it says so plainly. Everything doubtful is handed on as doubtful, so
that a person reads it; advice is kept apart from terms.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.facts import Statement
from compliance.rules.resolved import Advice
from compliance.rules.text import contains_words, words
from compliance.rules.textdiff import Finder, spell

Sense = Literal["applies", "unclear"]
ADVICE_SHARE = 0.8
"""Share of an advice's words that must stand in order; cards reword it a little."""

_MIN_NAME_WORDS = 2
_MIN_BADGE_WORDS = 3
_MAX_SHOWN = 240
_LINK = re.compile(r"https?://[^\s)>\]\"'`|]+", re.I)
_HEADING = re.compile(r"\s*(#{1,6}\s+(?P<hash>.+)|\*\*(?P<bold>[^*]+)\*\*:?\s*)$")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[\"“\[(*_A-Z#-])|\n+|<br\s*/?>", re.I)
_APPLIES = re.compile(
    r"governed by|subject to|licen[cs]ed (by|under|with|for use under)|additional information"
    r"|(released|distributed|available|provided|published|offered|open-?sourced) under"
    r"|under (the )?(terms|licen)|terms of|governing terms|bound by|compl(y|ies) with|appl(y|ies)"
    r"|licen[cs]e[^a-z]{0,3}(/\s*terms of use)?\s*\W{0,4}:|agree(s|ing)? to|accept(s|ing)?\b"
    r"|in accordance with|this (model|checkpoint|work) (is|uses)",
    re.I,
)
_AGAINST = re.compile(
    r"\b(not|never|isn.?t|doesn.?t|no longer|unlike|instead of|rather than|except|excluding"
    r"|compar\w+|versus|vs|similar to|in contrast|contrary|previously|formerly|whereas|until|could"
    r"|might|other models?|competing|inspired|future)\b",
    re.I,
)
_OTHER_THING = re.compile(
    r"\b(data ?sets?|(training|evaluation|synthetic) data|code|scripts?|tokeni[sz]er|paper"
    r"|benchmarks?|librar(y|ies)|framework|repository|teacher|base model|docs|documentation)\b",
    re.I,
)
_TITLED = re.compile(r"licen[cs]e|terms|governing|additional information", re.I)
# A name in capitals that governs, as in "governed by the House Research License".
_GOVERNED = re.compile(
    r"(?:governed by|licen[cs]ed under|released under|subject to|under the terms of)\W{1,6}"
    r"(?:the\W{1,4})?(?:[A-Z][\w.&’'-]*\s+){1,9}(?:Licen[cs]e|EULA|Agreement|Terms)\b"
)
_TAKEN_FROM = re.compile(
    r"\b((trained|tuned|distill?ed|built|based|derived|initiali[sz]ed|generated|pruned|merged)\b"
    r"[^.]{0,80}?\b(on|from|with|by|using|of)|outputs? (of|from)|distillation of)\b",
    re.I,
)
_OUTPUT_KINDS = frozenset({"output_training", "output_use", "model_name"})


@dataclass(frozen=True, slots=True)
class Named:
    """Say that a sentence names a licence, as these versions, in this sense.

    Without versions, it names one as governing that the catalogue does not hold.
    """

    versions: tuple[LicenceVersion, ...]
    sense: Sense
    source: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Names:
    """Look up what prose calls licences: names, badges, and models whose outputs carry terms."""

    names: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]
    badges: Mapping[tuple[str, ...], tuple[str, ...]]
    products: Mapping[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Line:
    heading: str
    sentence: str


_kept: dict[str, tuple[Mapping[str, LicenceVersion], Names]] = {}
_KEPT_NAMES = 8


def names_of(library: Library) -> Names:
    """Gather the names of a catalogue once."""
    held = _kept.get(library.digest)
    if held is not None and held[0] == library.licences:
        return held[1]
    if len(_kept) >= _KEPT_NAMES:
        _kept.pop(next(iter(_kept)))
    made = _gather(library)
    _kept[library.digest] = (library.licences, made)
    return made


def _gather(library: Library) -> Names:
    names: dict[tuple[str, ...], dict[str, None]] = {}
    badges: dict[tuple[str, ...], dict[str, None]] = {}
    products: dict[tuple[str, ...], dict[str, None]] = {}
    for key, licence in library.licences.items():
        for name in _names(licence):
            names.setdefault(name, {})[key] = None
        for clause in licence.clauses_of("badge"):
            for phrase in clause.params["any_of"]:
                if len(words(phrase)) >= _MIN_BADGE_WORDS:
                    badges.setdefault(tuple(words(phrase)), {})[key] = None
        if any(clause.kind in _OUTPUT_KINDS for clause in licence.clauses):
            for one in licence.licence_ids:
                products.setdefault(_product(one), {})[key] = None
    by_first: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for name, keys in names.items():
        by_first.setdefault(name[0], []).append((name, tuple(keys)))
    return Names(
        {one: tuple(sorted(many, key=lambda e: -len(e[0]))) for one, many in by_first.items()},
        {phrase: tuple(keys) for phrase, keys in badges.items()},
        {name: tuple(keys) for name, keys in products.items()},
    )


def _names(licence: LicenceVersion) -> Iterator[tuple[str, ...]]:
    # Hub names such as "llama-3.1" are names of models too; only those that say so are licences.
    hub = (name for name in licence.licence_names if _TITLED.search(name))
    told = (*licence.prose, licence.title, licence.spdx or "", *hub)
    for name in told:
        found = tuple(words(name))
        short = found[:-1] if found[-1:] == ("agreement",) else found
        for one in {found, short}:
            if len(one) >= _MIN_NAME_WORDS and not one[0].isdigit():
                yield one


def _product(name: str) -> tuple[str, ...]:
    return tuple(words(re.sub(r"(?<=[a-z])(?=\d)", " ", name.casefold())))


def read_statement(said: Statement, library: Library) -> tuple[Named, ...]:
    """List the licences that a statement names, the plainest mention of each family first seen.

    Law: of one family, a sentence by which it applies outranks one that leaves it unclear.
    """
    names = names_of(library)
    kept: dict[tuple[str, ...], Named] = {}
    for line in _lines(said.text):
        for versions, applies in _in_line(line, said.source, names, library):
            family = tuple(sorted({one.family for one in versions}))
            held = kept.get(family)
            if held is None or (applies and held.sense == "unclear"):
                sense: Sense = "applies" if applies else "unclear"
                kept[family] = Named(versions, sense, said.source, line.sentence[:_MAX_SHOWN])
            elif applies and held.sense == "applies" and len(versions) < len(held.versions):
                # A dated link further on tells which version the name means.
                kept[family] = Named(versions, "applies", said.source, line.sentence[:_MAX_SHOWN])
    return tuple(kept.values())


def _lines(text: str) -> Iterator[_Line]:
    heading = ""
    for part in _SENTENCE.split(text):
        sentence = part.strip()
        if not sentence:
            continue
        title = _HEADING.match(sentence)
        if title:
            heading = title["hash"] or title["bold"] or ""
        yield _Line(heading, " ".join(sentence.split()))


def _in_line(
    line: _Line, source: str, names: Names, library: Library
) -> Iterator[tuple[tuple[LicenceVersion, ...], bool]]:
    found = words(_LINK.sub(" ", line.sentence))
    keys, rest = _named_in(found, names)
    linked = [one for link in _LINK.findall(line.sentence) for one in _linked(link, library)]
    # A link may tell the version of a name beside it.
    named = [library.licences[key] for key in sorted(keys)]
    narrowed = {one.family for one in linked}
    every = [*linked, *(one for one in named if one.family not in narrowed)]
    for family in dict.fromkeys(one.family for one in every):
        group = tuple(dict.fromkeys(one.key for one in every if one.family == family))
        yield tuple(library.licences[key] for key in group), _applies(line, rest, source)
    yield from _hinted(line, found, names, library, bool(every))


def _linked(link: str, library: Library) -> tuple[LicenceVersion, ...]:
    return library.declared_by_link(link.rstrip(".,;:*_"))


def _named_in(found: list[str], names: Names) -> tuple[set[str], str]:
    """Find the longest names among the words; also give the words that are part of none."""
    keys: set[str] = set()
    rest: list[str] = []
    at = 0
    while at < len(found):
        known = names.names.get(found[at], ())
        size, owners = next(
            (
                (len(name), keys)
                for name, keys in known
                if tuple(found[at : at + len(name)]) == name
            ),
            (1, ()),
        )
        keys.update(owners)
        if not owners:
            rest.append(found[at])
        at += size
    return keys, " ".join(rest)


def _applies(line: _Line, rest: str, source: str) -> bool:
    """Say whether a sentence that names a licence says plainly that it covers this model.

    `rest` are its words without the names, which may themselves speak of code or data.
    """
    if _AGAINST.search(rest) or _OTHER_THING.search(rest) or _is_table(line.sentence):
        return False
    if source != "card":
        # Notices, gates and files beside a model speak of nothing else.
        return True
    return bool(_APPLIES.search(line.sentence) or _TITLED.search(line.heading))


def _is_table(sentence: str) -> bool:
    return sentence.startswith("|") or sentence.count("|") > 1


def _hinted(
    line: _Line, found: list[str], names: Names, library: Library, named: bool
) -> Iterator[tuple[tuple[LicenceVersion, ...], bool]]:
    """Give what a badge, or a model whose outputs carry terms, hints at without naming it."""
    if named:
        return
    if _GOVERNED.search(line.sentence) and not _OTHER_THING.search(line.sentence):
        yield (), False
    for phrase, keys in names.badges.items():
        if contains_words(found, list(phrase)):
            yield tuple(library.licences[key] for key in keys), False
    if _TAKEN_FROM.search(line.sentence) and not _is_table(line.sentence):
        spaced = list(_product(line.sentence))
        met = [name for name in names.products if contains_words(spaced, list(name))]
        for name in met:
            # "llama 3" stands in "llama 3.1" without being meant.
            if not any(other != name and other[: len(name)] == name for other in met):
                yield tuple(library.licences[key] for key in names.products[name]), False


def read_advice(
    statements: Iterable[Statement], library: Library, preferred: frozenset[str]
) -> tuple[Advice, ...]:
    """List the sentences that match a licence's recorded advice, once each.

    Where several licences record the same advice, one of `preferred` keys is named.
    """
    found: dict[tuple[str, str], Advice] = {}
    statements = [one for one in statements if one.text.strip()]
    if not statements:
        return ()
    ordered = sorted(
        (one for one in library.licences.values() if one.advice),
        key=lambda one: (one.key not in preferred, one.key),
    )
    for said in statements:
        spelling = spell(said.text)
        finder: Finder | None = None
        for licence in ordered:
            for advice in licence.advice:
                if (said.source, advice) in found:
                    continue
                stands = contains_words(spelling.words, words(advice))
                if not stands:
                    finder = finder or Finder(spelling)
                    stands = finder.changes(spell(advice), share=ADVICE_SHARE) is not None
                if stands:
                    found[said.source, advice] = Advice(
                        licence=licence.key, source=said.source, sentence=advice
                    )
    return tuple(found.values())

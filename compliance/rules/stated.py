"""Add to what a model's files and fields say what its prose says about licences.

Prose can narrow an open version, add a licence that applies too, or raise a question. It never
takes a licence away.
"""

from collections.abc import Iterable
from dataclasses import replace

from compliance.rules.catalogue import LicenceVersion
from compliance.rules.declared import PAPERS
from compliance.rules.facts import ModelFacts
from compliance.rules.resolved import Problem, Resolved
from compliance.rules.statements import Named
from compliance.rules.text import contains_words, words

_NOT_SETTLED = frozenset({"licence_missing"})


def governing(named: Iterable[Named]) -> Named | None:
    """Give the first licence that a file says applies, if it names any."""
    plain = (one for one in named if one.sense == "applies")
    return next((one for one in plain if any(v.role not in PAPERS for v in one.versions)), None)


def add_stated(model: ModelFacts, base: Resolved, named: Iterable[Named]) -> Resolved:
    """Take up what prose names, plain statements before unclear ones."""
    for one in sorted(named, key=lambda item: item.sense != "applies"):
        base = _narrowed(base, one) or _added(model, base, one)
    return base


def _narrowed(base: Resolved, named: Named) -> Resolved | None:
    """Settle an open version by a statement that names one of the candidates."""
    told = {one.key for one in named.versions}
    kept = tuple(one for one in base.licences if one.key in told)
    if base.how != "candidates" or named.sense != "applies" or len(kept) != 1 or len(told) != 1:
        return None
    if len({one.family for one in base.licences}) != 1:
        return None
    return replace(base, how="declared", licences=kept)


def _added(model: ModelFacts, base: Resolved, named: Named) -> Resolved:
    if _known(base, named):
        return base
    if not named.versions:
        return _not_held(model, base, named)
    if named.sense == "unclear":
        return _asked(model, base, named)
    licences = tuple(one for one in named.versions if one.role not in PAPERS)
    if not base.licences and not licences:
        return replace(base, papers=(*base.papers, *named.versions))
    if not base.licences:
        return _only_stated(model, base, named, licences)
    keys = tuple(one.key for one in named.versions)
    return replace(
        base,
        licences=(*base.licences, *named.versions),
        choices=tuple((*one, *keys) for one in base.choices),
        problems=(*base.problems, _also(model, named)),
    )


def _known(base: Resolved, named: Named) -> bool:
    """Say whether what is named binds already, by itself or as part of what binds."""
    bound = {one.key for one in base.licences}
    bound.update(key for one in base.licences for key in one.incorporates)
    if any(one.key in bound for one in named.versions):
        return True
    families = {one.family for one in base.licences}
    return named.sense == "unclear" and any(one.family in families for one in named.versions)


def _asked(model: ModelFacts, base: Resolved, named: Named) -> Resolved:
    # Whoever pinned the licence has read the card; parents bring their licences by lineage.
    if base.how == "pinned" or _is_parent(model, named.versions):
        return base
    problem = Problem(
        code="maybe_stated",
        because=f"The {named.source} of {model.id} speaks of {_keys(named)} without saying plainly "
        f"that it applies: “{named.sentence}”",
        remedy="Have a legal reviewer read it, and pin the licence or name the parent it means.",
    )
    return replace(base, problems=(*base.problems, problem))


def _not_held(model: ModelFacts, base: Resolved, named: Named) -> Resolved:
    if base.how == "pinned" or any(one.code == "licence_unknown" for one in base.problems):
        return base
    problem = Problem(
        code="stated_unknown",
        because=f"The {named.source} of {model.id} names a licence that the catalogue does not "
        f"hold: “{named.sentence}”",
        remedy="Read that licence and add it to the catalogue, or have legal pin what applies.",
    )
    return replace(base, problems=(*base.problems, problem))


def _is_parent(model: ModelFacts, versions: tuple[LicenceVersion, ...]) -> bool:
    names = [words(parent.id.replace("-", " ")) for parent in model.parents]
    ids = [words(name) for one in versions for name in one.licence_ids]
    wanted = [_spaced(one) for one in ids]
    return any(contains_words(_spaced(name), one) for name in names for one in wanted if one)


def _spaced(found: list[str]) -> list[str]:
    """Part letters from digits, so that "llama3" and "llama 3" are alike."""
    return words("".join(_parted(" ".join(found))))


def _parted(text: str) -> Iterable[str]:
    before = ""
    for letter in text:
        if letter.isdigit() and before.isalpha():
            yield " "
        yield letter
        before = letter


def _only_stated(
    model: ModelFacts, base: Resolved, named: Named, licences: tuple[LicenceVersion, ...]
) -> Resolved:
    problem = Problem(
        code="only_stated",
        because=f"Only the {named.source} of {model.id} says which licence applies "
        f"({_keys(named)}): “{named.sentence}”",
        remedy="Store the licence text, declare it in the card's fields, or have legal pin it.",
    )
    return replace(
        base,
        how="declared" if len(licences) == 1 else "candidates",
        licences=licences,
        own=True,
        problems=(*(one for one in base.problems if one.code not in _NOT_SETTLED), problem),
    )


def _also(model: ModelFacts, named: Named) -> Problem:
    return Problem(
        code="also_stated",
        because=f"The {named.source} of {model.id} says that {_keys(named)} applies too: "
        f"“{named.sentence}”",
        remedy="Both are applied; have a legal reviewer confirm it, and store both texts.",
    )


def _keys(named: Named) -> str:
    return " or ".join(f"'{one.key}'" for one in named.versions)

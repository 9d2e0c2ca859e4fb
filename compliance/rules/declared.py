"""Read which licences a card's own fields declare: `license`, `license_name`, `license_link`.

Declarations prove nothing about texts; they only say what the publisher says.
"""

from dataclasses import dataclass

from compliance.rules.catalogue import RESTRICTING_KINDS, Library, LicenceVersion
from compliance.rules.expressions import Expression, read_expression
from compliance.rules.facts import ModelFacts, canonical_json
from compliance.rules.resolved import Problem

PAPERS = frozenset({"policy", "addendum"})
"""Roles that are no licence by themselves, whoever declares them."""


@dataclass(frozen=True, slots=True)
class Declared:
    """Hold the declared versions.

    With `all_bind` each family of them binds; otherwise one of them does. `choices` are key tuples
    of which the licensee may pick one.
    """

    versions: tuple[LicenceVersion, ...] = ()
    problems: tuple[Problem, ...] = ()
    choices: tuple[tuple[str, ...], ...] = ()
    all_bind: bool = False


def read_declared(model: ModelFacts, library: Library) -> Declared:
    """Collect the versions that id, name and link allow together."""
    said = (model.license or "").strip()
    expression = read_expression(said, library) if said else None
    sets = _named(model, library)
    if expression is not None:
        return _with_name(model, _from_expression(model, expression), sets)
    if said and said.casefold() not in ("other", "unknown"):
        sets.insert(0, _licences(library.declared_by_id(said)))
    versions, problems = _agree(model, sets) if sets else ((), ())
    return Declared(versions, problems + _for_data(model, versions))


def _licences(versions: tuple[LicenceVersion, ...]) -> tuple[LicenceVersion, ...]:
    return tuple(one for one in versions if one.role not in PAPERS)


def _named(model: ModelFacts, library: Library) -> list[tuple[LicenceVersion, ...]]:
    sets = []
    if model.license_name:
        sets.append(_licences(library.declared_by_name(model.license_name)))
    if model.license_link and "/" in model.license_link:
        by_link = _licences(library.declared_by_link(model.license_link))
        # An address the catalogue has not seen adds nothing and takes nothing away.
        has_id = model.license and model.license.strip().casefold() not in ("other", "unknown")
        if by_link or not (sets or has_id):
            sets.append(by_link)
    return sets


def _agree(
    model: ModelFacts, sets: list[tuple[LicenceVersion, ...]]
) -> tuple[tuple[LicenceVersion, ...], tuple[Problem, ...]]:
    shared = [one for one in sets[0] if all(one in other for other in sets[1:])]
    if shared:
        return tuple(shared), ()
    every = {one.key: one for group in sets for one in group}
    if not every:
        return (), ()
    return tuple(every[key] for key in sorted(every)), (_disagree(model),)


def _disagree(model: ModelFacts) -> Problem:
    return Problem(
        code="declarations_disagree",
        because=f"{model.id}: its license, license_name and license_link do not name one licence "
        f"the catalogue holds.",
        remedy="Correct the card, or have a legal reviewer pin the version that applies.",
    )


def _for_data(model: ModelFacts, versions: tuple[LicenceVersion, ...]) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            code="licence_for_data",
            because=f"{model.id} is declared under '{one.key}', which is written for data.",
            remedy="Ask the publisher which licence covers the weights.",
        )
        for one in versions
        if one.role == "dataset_licence"
    )


def _from_expression(model: ModelFacts, expression: Expression) -> Declared:
    choices = tuple(
        tuple(dict.fromkeys(one.key for term in terms for one in _licences(term.versions)))
        for terms in expression.alternatives
    )
    every = {
        one.key: one
        for terms in expression.alternatives
        for term in terms
        for one in _licences(term.versions)
    }
    versions = tuple(every[key] for key in sorted(every))
    problems = [*_for_data(model, versions)]
    if expression.unknown:
        problems.append(_unknown_ids(model, expression.unknown))
    if any(
        len(_licences(term.versions)) > 1 for terms in expression.alternatives for term in terms
    ):
        problems.append(_open_version(model))
    if len(choices) == 1:
        return Declared(versions, tuple(problems), all_bind=True)
    if len({_restrictions(keys, every) for keys in choices}) > 1 or expression.unknown:
        problems.append(_open_choice(model, choices))
    return Declared(versions, tuple(problems), choices=choices, all_bind=True)


def _restrictions(keys: tuple[str, ...], every: dict[str, LicenceVersion]) -> frozenset[object]:
    """Gather what limits the licensee, so that alternatives can be told apart."""
    return frozenset(
        (clause.kind, canonical_json(dict(clause.params)))
        for key in keys
        for clause in every[key].clauses
        if clause.kind in RESTRICTING_KINDS or clause.params.get("ends") == "all"
    )


def _open_choice(model: ModelFacts, choices: tuple[tuple[str, ...], ...]) -> Problem:
    offered = "; or ".join(" and ".join(keys) or "an unknown licence" for keys in choices)
    return Problem(
        code="choice_open",
        because=f"{model.id} leaves a choice of licences that differ in what they forbid: "
        f"{offered}. Until one is chosen, the terms of all of them are applied.",
        remedy="Have a legal reviewer choose one and pin it.",
    )


def _open_version(model: ModelFacts) -> Problem:
    return Problem(
        code="version_unresolved",
        because=f"{model.id} declares '{model.license}', and one of these names has several "
        "versions in the catalogue. The strictest terms are applied.",
        remedy="Store the licence texts that came with the model, or have legal pin a version.",
    )


def _unknown_ids(model: ModelFacts, names: tuple[str, ...]) -> Problem:
    return Problem(
        code="licence_unknown",
        because=f"{model.id} declares '{model.license}'; the catalogue does not hold "
        f"{', '.join(names)}.",
        remedy="Read the licence and add it to the catalogue, or pin the version that applies.",
    )


def _with_name(
    model: ModelFacts, declared: Declared, sets: list[tuple[LicenceVersion, ...]]
) -> Declared:
    """Hold name and link against the expression; what they add binds too."""
    extra = {one.key: one for group in sets for one in group if one not in declared.versions}
    known = any(one in declared.versions for group in sets for one in group)
    if not extra or known:
        return declared
    return Declared(
        (*declared.versions, *extra.values()),
        (*declared.problems, _disagree(model)),
        choices=declared.choices,
        all_bind=True,
    )

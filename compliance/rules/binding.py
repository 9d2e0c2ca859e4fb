"""Work out which licence versions bind the subject, and which clauses speak through whom.

Where a model's licence may be one of several versions, the strictest clause of each kind speaks.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compliance.rules.assessment import BindingLicence
from compliance.rules.catalogue import Clause, Library, LicenceVersion
from compliance.rules.clauses import PER_MODEL
from compliance.rules.context import Speaking
from compliance.rules.facts import Facts, ModelFacts
from compliance.rules.identify import Resolved, resolve
from compliance.rules.lineage import Lineage, ancestors

_STRICTNESS = {"not_allowed": 2, "substantially_similar": 1}


@dataclass(frozen=True, slots=True)
class Carrier:
    """Hold one model of the closure with the licences it carries by itself."""

    model: str
    resolved: Resolved
    between: frozenset[str]

    @property
    def candidate(self) -> bool:
        """Say whether it is open which of the licences applies."""
        return self.resolved.how == "candidates"


def resolve_models(facts: Facts, library: Library) -> dict[str, Resolved]:
    """Resolve every described model; models that declare the same are resolved once."""
    known: dict[object, Resolved] = {}
    found: dict[str, Resolved] = {}
    for model in facts.models:
        # Problems name the model, so only silent resolutions can be shared.
        said = _declaration(model)
        resolved = known.get(said)
        if resolved is None:
            resolved = resolve(model, library)
            if not resolved.problems:
                known[said] = resolved
        found[model.id] = resolved
    return found


def _declaration(model: ModelFacts) -> object:
    return (
        model.license,
        model.license_name,
        model.license_link,
        model.license_pin,
        model.licence_texts,
    )


def find_carriers(
    facts: Facts, lineage: Lineage, resolved: Mapping[str, Resolved]
) -> tuple[Carrier, ...]:
    """List the models of the closure, nearest first, each with what lies between."""
    between = telling_between(facts, lineage)
    return tuple(Carrier(name, resolved[name], between[name]) for name in lineage.order)


def telling_between(facts: Facts, lineage: Lineage) -> dict[str, frozenset[str]]:
    """Map each model to the models between it and the subject that can change a verdict.

    Those are the ones with evidence and the ones a matter names. Every way through the lineage
    counts, not only the shortest: in a merge the longer arm may be the one that lost something.
    """
    alleged = {
        name
        for matter in facts.matters
        for name in (*matter.alleges_model_infringes, *matter.alleges_output_infringes)
    }
    telling = {
        name
        for name in lineage.order
        if name in alleged or name == lineage.subject or lineage.models[name].evidence
    }
    found: dict[str, frozenset[str]] = {name: frozenset() for name in lineage.order}
    waiting = deque(lineage.order)
    queued = set(waiting)
    while waiting:
        name = waiting.popleft()
        queued.discard(name)
        passed = found[name] | ({name} & telling)
        for link in lineage.parents(name):
            merged = found[link.id] | passed
            if merged != found[link.id]:
                found[link.id] = merged
                if link.id not in queued:
                    queued.add(link.id)
                    waiting.append(link.id)
    return {name: items - {name} for name, items in found.items()}


def alleged_ancestors(facts: Facts) -> dict[str, frozenset[str]]:
    """Map each model a matter names to all its ancestors, itself included."""
    models = {model.id: model for model in facts.models}
    named = {
        name
        for matter in facts.matters
        for name in (*matter.alleges_model_infringes, *matter.alleges_output_infringes)
    }
    return {name: ancestors(models, name) for name in sorted(named)}


def speaking_clauses(carriers: Iterable[Carrier], subject: str) -> tuple[Speaking, ...]:
    """List the clauses that speak, the use-wide ones once per licence through the nearest."""
    carriers = tuple(carriers)
    derived = {
        one.key for item in carriers if item.model != subject for one in item.resolved.licences
    }
    heard: set[tuple[str, str]] = set()
    found: list[Speaking] = []
    for item in carriers:
        for licence, clause in effective_clauses(item.resolved):
            name = (licence.key, clause.id)
            if clause.kind not in PER_MODEL:
                if name in heard:
                    continue
                heard.add(name)
            per_model = clause.kind in PER_MODEL and clause.kind != "badge"
            found.append(
                Speaking(
                    clause=clause,
                    licence=licence,
                    carrier=item.model,
                    derivative=item.model != subject if per_model else licence.key in derived,
                    candidate=item.candidate,
                    doubtful=name in item.resolved.doubtful,
                    between=item.between,
                )
            )
    return tuple(found)


def effective_clauses(resolved: Resolved) -> tuple[tuple[LicenceVersion, Clause], ...]:
    """List the clauses that apply; of several candidate versions, the strictest of each kind."""
    if resolved.how != "candidates":
        return tuple((one, clause) for one in resolved.licences for clause in one.clauses)
    chosen: dict[tuple[str, str], LicenceVersion] = {}
    for licence in sorted(resolved.licences, key=_strictness):
        for clause in licence.clauses:
            # Sorted by strictness, so the last version that has the kind is the strictest.
            chosen[licence.family, clause.kind] = licence
    return tuple(
        (licence, clause)
        for (_, kind), licence in sorted(chosen.items())
        for clause in licence.clauses_of(kind)
    )


def _strictness(licence: LicenceVersion) -> tuple[int, str, str]:
    return (_guardrail_rank(licence), str(licence.date or ""), licence.key)


def _guardrail_rank(licence: LicenceVersion) -> int:
    ranks = [_STRICTNESS[one.params["substitute"]] for one in licence.clauses_of("guardrail")]
    return max(ranks, default=0)


def strictest(resolved: Resolved) -> tuple[LicenceVersion, ...]:
    """List the licences to name as binding; of candidates, the strictest of each family."""
    if resolved.how != "candidates":
        return resolved.licences
    chosen = {one.family: one for one in sorted(resolved.licences, key=_strictness)}
    return tuple(chosen[family] for family in sorted(chosen))


def binding_licences(carriers: Iterable[Carrier], lineage: Lineage) -> tuple[BindingLicence, ...]:
    """List what binds, nearest model first."""
    return tuple(
        BindingLicence(
            licence=licence.key,
            version=licence.version,
            title=licence.title,
            model=item.model,
            path=lineage.path(item.model),
            resolution="candidate" if item.candidate else item.resolved.how,
            relation=lineage.relation_to_child.get(item.model),
        )
        for item in carriers
        for licence in strictest(item.resolved)
    )

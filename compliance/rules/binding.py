"""Work out which licence versions bind the subject, and which clauses speak through whom.

Where a model's licence may be one of several versions, the strictest clause of each kind speaks.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from compliance.rules.assessment import BindingLicence
from compliance.rules.catalogue import Clause, Library, LicenceVersion
from compliance.rules.clauses import PER_MODEL
from compliance.rules.context import Speaking
from compliance.rules.facts import Facts, ModelFacts
from compliance.rules.identify import Resolved, resolve
from compliance.rules.lineage import Lineage, ancestors

# One clause, or one kind of clause as each of several candidate versions has it.
Spoken = tuple[tuple[Speaking, ...], ...]
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
        model.statements,
    )


def find_carriers(
    facts: Facts, lineage: Lineage, resolved: Mapping[str, Resolved]
) -> tuple[Carrier, ...]:
    """List the models of the closure, nearest first, each with what lies between.

    Licences from which their own licensor released the subject are left out (`relicensed_by`).
    """
    between = telling_between(facts, lineage)
    renewed = relicensed_by(lineage, resolved)
    found = []
    for name in lineage.order:
        left = _left(lineage.models[name], resolved[name], renewed[name])
        if left is not None:
            found.append(Carrier(name, left, between[name]))
    return tuple(found)


def relicensed_by(lineage: Lineage, resolved: Mapping[str, Resolved]) -> dict[str, frozenset[str]]:
    """Map each model to the publishers who published something newer of it on every way down.

    A licensor may publish a work made from its own under other terms, and whoever takes that one
    is bound by those. Every way from the subject has to pass such a model; one that does not
    brings the older licence along.
    """
    found: dict[str, frozenset[str] | None] = dict.fromkeys(lineage.order)
    found[lineage.subject] = frozenset()
    waiting = deque([lineage.subject])
    queued = {lineage.subject}
    while waiting:
        name = waiting.popleft()
        queued.discard(name)
        passed = (found[name] or frozenset()) | _renewing(lineage.models[name], resolved[name])
        for link in lineage.parents(name):
            held = found[link.id]
            met = passed if held is None else held & passed
            if met != held and link.id != lineage.subject:
                found[link.id] = met
                if link.id not in queued:
                    queued.add(link.id)
                    waiting.append(link.id)
    return {name: held or frozenset() for name, held in found.items()}


_SETTLED = frozenset({"exact_text", "pinned", "declared"})


def _renewing(model: ModelFacts, resolved: Resolved) -> frozenset[str]:
    """Name the publisher when it says under which terms the model is offered."""
    settled = resolved.own and resolved.how in _SETTLED and resolved.licences
    return frozenset({model.published_by} - {""}) if settled else frozenset()


def _left(model: ModelFacts, resolved: Resolved, renewed: frozenset[str]) -> Resolved | None:
    """Keep the licences that still bind through this model; None when all were renewed.

    A file that nobody could read may hold other terms than those, so its question stays.
    """
    kept = tuple(one for one in resolved.licences if not _released(model, one, renewed))
    if len(kept) == len(resolved.licences):
        return resolved
    return replace(resolved, licences=kept) if kept or resolved.problems else None


def _released(model: ModelFacts, licence: LicenceVersion, renewed: frozenset[str]) -> bool:
    licensors = set(licence.publishers)
    return model.published_by in licensors and bool(licensors & renewed)


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


def speaking_clauses(
    carriers: Iterable[Carrier], subject: str, library: Library
) -> tuple[Spoken, ...]:
    """List what speaks, nearest carrier first; where a version is open, each version's say."""
    carriers = tuple(carriers)
    derived = {
        one.key
        for item in carriers
        if item.model != subject
        for one in with_papers(item.resolved.licences, library)
    }
    return tuple(
        tuple(
            tuple(_speaking(item, licence, clause, subject, derived) for licence, clause in said)
            for said in spoken
        )
        for item in carriers
        for spoken in effective_clauses(item.resolved, library)
    )


def _speaking(
    item: Carrier, licence: LicenceVersion, clause: Clause, subject: str, derived: set[str]
) -> Speaking:
    per_model = clause.kind in PER_MODEL and clause.kind != "badge"
    return Speaking(
        clause=clause,
        licence=licence,
        carrier=item.model,
        derivative=item.model != subject if per_model else licence.key in derived,
        candidate=item.candidate,
        doubtful=(licence.key, clause.id) in item.resolved.doubtful,
        between=item.between,
    )


def with_papers(
    licences: tuple[LicenceVersion, ...], library: Library
) -> tuple[LicenceVersion, ...]:
    """Add the policies and addenda that the licences make part of themselves."""
    keys = dict.fromkeys(key for licence in licences for key in licence.incorporates)
    papers = (library.get(key) for key in keys)
    return (*licences, *(paper for paper in papers if paper is not None and paper not in licences))


def effective_clauses(
    resolved: Resolved, library: Library
) -> tuple[tuple[tuple[tuple[LicenceVersion, Clause], ...], ...], ...]:
    """List the clauses that apply, each alone; or, of candidates, each kind as each version has it.

    What the versions of one family say of one kind stands together, the strictest by its words
    last: which of them asks the most is known once they are judged.
    """
    licences = with_papers(resolved.licences, library)
    if resolved.how != "candidates":
        return tuple((((one, clause),),) for one in licences for clause in one.clauses)
    rivals: dict[tuple[str, str], list[LicenceVersion]] = {}
    for licence in sorted(licences, key=_strictness):
        for kind in dict.fromkeys(clause.kind for clause in licence.clauses):
            rivals.setdefault((licence.family, kind), []).append(licence)
    return tuple(
        tuple(
            tuple((licence, clause) for clause in licence.clauses_of(kind))
            for licence in sorted(rivals[family, kind], key=lambda one: _grip(one, kind))
        )
        for family, kind in sorted(rivals)
    )


def _grip(licence: LicenceVersion, kind: str) -> tuple[int, ...]:
    """Rank how strict a version is in one kind of clause; the higher, the stricter."""
    clauses = licence.clauses_of(kind)
    # Of two that are as strict, the one that says more of it.
    return (*max((_clause_grip(clause) for clause in clauses), default=()), len(clauses))


_FORBIDS = {"competing_models": 1, "language_models": 2, "any_model": 3}
_OUTPUTS = {"acceptable_use": 1, "noncommercial": 2, "research": 3}
_EFFECTS = {"badge": 1, "ask": 2, "end": 3}


def _clause_grip(clause: Clause) -> tuple[int, ...]:
    params = clause.params
    if clause.kind == "guardrail":
        return (_STRICTNESS[params["substitute"]], int(params.get("ends", True)))
    if clause.kind == "acceptable_use":
        named = [*params.get("prohibited_domains", ()), *params.get("review_domains", ())]
        return (int(not params["by_reference"]), len(named))
    if clause.kind == "output_training":
        return (_FORBIDS[params["forbids"]], -len(params.get("spares", ())))
    if clause.kind == "output_use":
        return (_OUTPUTS[params["limit"]],)
    if clause.kind in ("user_threshold", "revenue_threshold"):
        limit = int(params.get("limit", params.get("limit_usd", 0)))
        return (_EFFECTS[params.get("effect", "ask")], -limit)
    if clause.kind == "litigation":
        return (
            int(params["ends"] == "all"),
            3 if "any" in params["rights"] else len(params["rights"]),
            int(params["outputs"]) + int(params["counterclaims"]),
            int(params["carve_out"] == "none") + int(params["against"] == "anyone"),
        )
    return ()


def _strictness(licence: LicenceVersion) -> tuple[tuple[int, ...], str, str]:
    return (_grip(licence, "guardrail"), str(licence.date or ""), licence.key)


def restricting(resolved: Resolved) -> tuple[LicenceVersion, ...]:
    """List the licences that restrict; of candidates, the strictest of each family that does."""
    found = [one for one in resolved.licences if one.restricts]
    if resolved.how != "candidates":
        return tuple(found)
    chosen = {one.family: one for one in sorted(found, key=_strictness)}
    return tuple(chosen[family] for family in sorted(chosen))


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

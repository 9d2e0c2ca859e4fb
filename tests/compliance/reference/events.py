"""Guardrails and lawsuits: the clauses by which rights end."""

from dataclasses import dataclass, field
from datetime import date

from compliance.rules.catalogue import Clause, LicenceVersion, LitigationTerms, litigation_terms
from compliance.rules.facts import Matter, ModelFacts
from tests.compliance.reference.world import World

Ended = tuple[str, str, str, str, date | None]  # licence, model, scope, cause, effective


@dataclass
class Ruling:
    """Hold the statuses that one clause asks for, and what ended."""

    asked: set[str] = field(default_factory=set)
    ended: set[Ended] = field(default_factory=set)


# -- guardrails ----------------------------------------------------------------------------


def fate(model: ModelFacts) -> str:
    """Sum up what the evidence says became of one model's guardrails."""
    said: dict[str, set[str]] = {"measured": set(), "attested": set()}
    for one in model.evidence:
        if one.kind == "guardrail_retention":
            said[one.method].add("lost" if one.result in ("reduced", "removed") else one.result)
    ablated = any(
        (one.kind == "weight_comparison" and one.result == "directional_ablation")
        or (one.kind == "file_comparison" and one.result == "weakened")
        for one in model.evidence
    )
    vague = "unknown" in said["measured"] | said["attested"]
    measured, attested = said["measured"] - {"unknown"}, said["attested"] - {"unknown"}
    if "lost" in measured or ("lost" in attested and not measured):
        return "lost"
    if ablated:
        # What stands in front of the weights is not touched by what was done to them.
        stands_in = "replaced" in measured and "lost" not in attested
        return "replaced, measured" if stands_in else "conflict"
    if measured:
        return _measured(measured, attested, vague)
    # Nobody admits a replacement that did not happen; a doubtful measurement takes nothing back.
    if "replaced" in attested:
        return "replaced, said"
    if vague:
        return "unclear"
    return f"{attested.pop()}, said" if attested else "unknown"


def _measured(measured: set[str], attested: set[str], vague: bool) -> str:
    """Hold what was measured (nothing lost) against what is said."""
    if "lost" in attested:
        return "replaced, disputed" if measured == {"replaced"} else "conflict"
    if "replaced" in measured:
        return "replaced, measured"
    if "replaced" in attested:
        return "conflict"
    return "unclear" if vague else "retained, measured"


def guardrail(world: World, model: str, licence: LicenceVersion, clause: Clause) -> Ruling:
    """Ask each model on every way down from the model whose licence speaks."""
    strict = clause.params["substitute"] == "not_allowed"
    own = fate(world.subject)
    if model == world.facts.subject:
        above = set()
        status = _as_published(own, strict)
    else:
        above = {fate(world.models[one]) for one in world.between(model)} - {own}
        if len(world.between(model)) > 1:
            others = world.between(model) - {world.facts.subject}
            above = {fate(world.models[one]) for one in others}
        status = _derived(own, above, strict)
    ruling = Ruling({status} - {"fine"})
    if status == "violated" and clause.params.get("ends", True):
        ruling.ended.add((licence.key, model, "all", "guardrail", None))
    return ruling


def _as_published(own: str, strict: bool) -> str:
    if own == "lost" or (strict and own.startswith("replaced")):
        return "violated"
    if own in ("conflict", "unclear", "replaced, said", "replaced, disputed"):
        return "needs_review"
    return "fine"


def _derived(own: str, above: set[str], strict: bool) -> str:
    if own == "lost" or (strict and own.startswith("replaced")):
        return "violated"
    if "lost" in above:
        # It has them, or a substitute; whether the rights had ended before is for a person.
        measured = ("replaced, measured", "retained, measured")
        return "needs_review" if own in measured else "violated"
    if strict and any(one.startswith("replaced") for one in above):
        return "needs_review" if own == "retained, measured" else "violated"
    if own in ("retained, measured", "replaced, measured") and "conflict" not in above:
        return "fine"
    return "needs_review"


# -- lawsuits ------------------------------------------------------------------------------


def litigation(world: World, model: str, licence: LicenceVersion, clause: Clause) -> Ruling:
    """Hold every matter against one litigation clause."""
    total = Ruling()
    for matter in world.facts.matters:
        one = _suit(world, model, licence, clause, matter)
        total.asked |= one.asked
        total.ended |= one.ended
    return total


def _suit(
    world: World, model: str, licence: LicenceVersion, clause: Clause, matter: Matter
) -> Ruling:
    terms = litigation_terms(clause)
    alleged = set(matter.alleges_model_infringes)
    if terms.outputs:
        alleged |= set(matter.alleges_output_infringes)
    hit = _hit(world, model, licence, clause, terms, alleged)
    if hit is None or not _counts(terms, matter):
        return Ruling()
    return _what_follows(world, model, licence, clause, matter, hit)


def _hit(
    world: World,
    model: str,
    licence: LicenceVersion,
    clause: Clause,
    terms: LitigationTerms,
    alleged: set[str],
) -> str | None:
    """Say whether the suit is about what this licence covers: "plain", "open" or None."""
    if model in alleged:
        return "plain"
    below = {one for one in alleged if model in world.ancestors(one)}
    on_the_way = below & {world.facts.subject, *world.between(model)}
    if on_the_way:
        return "plain" if "derivative" in clause.scope else "open"
    if terms.reach == "whole_licence":
        others = alleged & world.models.keys()
        under_it = [world.terms[one].open for one in others if world.carries(one, licence.key)]
        if under_it:
            return "open" if all(under_it) else "plain"
    return "open" if below else None


def _counts(terms: LitigationTerms, matter: Matter) -> bool:
    """Say whether the words reach such a suit at all."""
    if matter.status == "draft" or (matter.status == "threatened" and not terms.threats):
        return False
    if "any" not in terms.rights and matter.kind not in terms.rights and matter.kind != "other":
        return False
    spared = terms.carve_out == "responsive_suit" or not terms.counterclaims
    return not (spared and matter.in_response)


def _what_follows(
    world: World,
    model: str,
    licence: LicenceVersion,
    clause: Clause,
    matter: Matter,
    hit: str,
) -> Ruling:
    terms = litigation_terms(clause)
    group = clause.actor == "group" or any(
        one.params["affiliates"] for one in licence.clauses_of("licensee")
    )
    licensor = {name.casefold().strip() for name in matter.defendants}
    doubtful = (
        hit == "open"
        or (matter.kind == "other" and "any" not in terms.rights)
        or (terms.against == "licensor" and licence.licensor.casefold() not in licensor)
        or (matter.brought_by == "affiliate" and not group)
        or (matter.filed_on is not None and matter.filed_on > world.facts.as_of)
    )
    if doubtful:
        return Ruling({"needs_review"})
    effective = matter.filed_on if matter.status != "threatened" else None
    ended = {(licence.key, model, terms.ends, matter.id, effective)}
    given_up = matter.status in ("withdrawn", "closed")
    if given_up and matter.filed_on is None:
        return Ruling({"needs_review"})
    if given_up or terms.ends == "patent_only":
        return Ruling({"needs_review"}, ended)
    return Ruling({"violated"}, ended)

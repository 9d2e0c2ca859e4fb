"""Lay a judgement and its facts out as the variables that a policy's expressions read.

Builds to `shape.SHAPE`. A fact that nobody knows is left out, so that reading it fails and asks a
person, unless the rule asks `has(...)` first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compliance.policy.expression import MAX_TEXT
from compliance.rules.assessment import Assessment, BindingLicence, Finding
from compliance.rules.catalogue import Library
from compliance.rules.facts import Facts, ModelFacts, Waiver
from compliance.rules.lineage import Lineage, trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Hold what is known besides the facts.

    `waiver_days` maps a waiver's id to the days for which it was granted; `gpu` says whether the
    target has one, None while no target is named.
    """

    waiver_days: Mapping[str, int] = field(default_factory=dict)
    gpu: bool | None = None


def build_environment(
    assessment: Assessment, facts: Facts, library: Library, known: Surroundings
) -> dict[str, Any]:
    """Build the variables of one judgement; `risk` is left empty, a policy's tiers fill it."""
    lineage = trace(facts)
    purposes = facts.use.purposes
    return {
        "decision": assessment.decision,
        "subject": _subject(assessment, facts, library),
        "use": _use(facts),
        "licences": [_licence(one, library) for one in assessment.binding_licences],
        "findings": [_finding(one) for one in assessment.findings],
        "evidence": _evidence(lineage),
        "lineage": _lineage(lineage),
        "target": _known(
            hosted="hosted_service" in purposes if purposes else None,
            distributed="redistribution" in purposes if purposes else None,
            gpu=known.gpu,
        ),
        "risk": {},
        "waivers": [_waiver(one, facts, known) for one in _by_id(facts.waivers)],
    }


def _known(**values: Any) -> dict[str, Any]:
    """Keep what is known, and cut texts to the length that costs are reckoned with."""
    return {
        name: value[:MAX_TEXT] if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None
    }


def _by_id(waivers: Iterable[Waiver]) -> list[Waiver]:
    return sorted(waivers, key=lambda one: one.id)


def namespace(model_id: str) -> str:
    """Name what stands before the slash: a claim of whoever named the model, "" if there is none.

    It vouches for nobody; `publishers` does.
    """
    return model_id.split("/")[0].casefold() if "/" in model_id else ""


def _subject(assessment: Assessment, facts: Facts, library: Library) -> dict[str, Any]:
    model = facts.model(facts.subject)
    own = {one.licence for one in assessment.binding_licences if one.model == facts.subject}
    families = {library.licences[key].family for key in own if key in library.licences}
    return _known(
        id=facts.subject,
        namespace=namespace(facts.subject),
        declared_licence=model.license if model else None,
        licence_keys=sorted(own) or None,
        families=sorted(families) or None,
        is_derivative=bool(model.parents) if model else None,
        modalities=sorted(model.modalities) or None if model else None,
    )


def _use(facts: Facts) -> dict[str, Any]:
    use = facts.use
    return _known(
        purposes=sorted(use.purposes) or None,
        commercial=use.commercial,
        monthly_active_users=use.monthly_active_users,
        annual_revenue_usd=use.annual_revenue_usd,
        monthly_revenue_usd=use.monthly_revenue_usd,
        licensee_home=use.licensee_home,
        jurisdictions=sorted(use.jurisdictions) or None,
        domains=sorted(use.domains) or None,
    )


def _licence(one: BindingLicence, library: Library) -> dict[str, Any]:
    text = library.get(one.licence)
    return _known(
        key=one.licence,
        title=one.title,
        version=one.version,
        family=text.family if text else None,
        spdx=text.spdx if text else None,
        status=text.status if text else None,
        clauses=sorted({clause.kind for clause in text.clauses}) if text else None,
        model=one.model,
        kind=one.subject_kind,
        resolution=one.resolution,
    )


def _finding(one: Finding) -> dict[str, Any]:
    return _known(
        rule=one.rule,
        status=one.status,
        severity=one.severity,
        licence=one.licence,
        section=one.section,
        model=one.model,
        waived=one.waived_by is not None,
    )


def _evidence(lineage: Lineage) -> list[dict[str, Any]]:
    found = [
        {
            "kind": item.kind,
            "result": item.result,
            "method": item.method,
            "model": name,
            "on_subject": name == lineage.subject,
        }
        for name in lineage.order
        for item in lineage.models[name].evidence
    ]
    return sorted(found, key=lambda one: tuple(map(str, one.values())))


def _lineage(lineage: Lineage) -> dict[str, Any]:
    names = sorted({*lineage.order, *lineage.missing})
    vouched = {model.published_by for model in _described(lineage)}
    certain = "" not in vouched and not lineage.missing
    return _known(
        depth=_depth(lineage),
        models=names,
        namespaces=sorted({namespace(name) for name in names}),
        declared_licences=sorted(
            {str(model.license).casefold() for model in _described(lineage) if model.license}
        ),
        # One ancestor nobody vouches for, and the whole list is not known.
        publishers=sorted(vouched) if certain else None,
        relations=sorted(set(lineage.relation_to_child.values())),
        missing=sorted(lineage.missing),
    )


def _described(lineage: Lineage) -> list[ModelFacts]:
    return [lineage.models[name] for name in lineage.order]


def _depth(lineage: Lineage) -> int:
    """Count the steps from the subject to the farthest described ancestor."""
    steps: dict[str, int] = {}
    for name in lineage.order:
        child = lineage.toward_subject.get(name)
        steps[name] = 0 if child is None else steps[child] + 1
    return max(steps.values(), default=0)


def _waiver(one: Waiver, facts: Facts, known: Surroundings) -> dict[str, Any]:
    left = None if one.expires_on is None else (one.expires_on - facts.as_of).days
    return _known(
        rule=one.rule,
        licence=one.licence,
        model=one.model,
        days=known.waiver_days.get(one.id),
        days_left=left,
    )

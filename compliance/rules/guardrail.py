"""Judge the guardrail clause: was a safety mechanism removed, and may it be replaced?

The texts differ by version: some allow a substantially similar substitute, some none, some have
no such clause. What counts is evidence about the subject and about the models between it and the
model whose licence speaks. A measurement can clear; a statement alone can only accuse.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from compliance.rules.assessment import Termination
from compliance.rules.context import Case, Speaking, Verdict, evidence_of, make_finding, one, refer
from compliance.rules.facts import EvidenceFact, ModelFacts

Reading = Literal[
    "removed", "reduced", "conflict", "replaced_disputed", "replaced_claimed", "replaced",
    "unknown", "claimed", "retained", "none",
]  # fmt: skip
ORDER: tuple[Reading, ...] = (
    "removed", "reduced", "conflict", "replaced_disputed", "replaced_claimed", "replaced",
    "unknown", "claimed", "retained", "none",
)  # fmt: skip
LOSSES = frozenset({"removed", "reduced"})
REPLACED = frozenset({"replaced", "replaced_claimed", "replaced_disputed"})
CONTESTS = (("weight_comparison", "directional_ablation"), ("file_comparison", "weakened"))
MEASURE = (
    "Measure refusals of this checkpoint against the model it was made from "
    "(evidence guardrail_retention, method measured)."
)


@dataclass(frozen=True, slots=True)
class ModelReading:
    """Sum up what the evidence says about one model."""

    model: str
    reading: Reading
    evidence: tuple[EvidenceFact, ...] = ()


def read_model(model: ModelFacts) -> ModelReading:
    """Sum up one model's guardrail evidence; what contradicts itself is a conflict.

    Weights that show a directional ablation, and files from which a mechanism is gone, contradict
    every claim that guardrails were kept. They do not contradict a measured replacement: it is
    measured in front of those weights and files.
    """
    items = evidence_of(model, "guardrail_retention")
    contesting = tuple(
        item
        for kind, result in CONTESTS
        for item in evidence_of(model, kind)
        if item.result == result
    )
    readings = {_read_item(item) for item in items}
    if "retained" in readings:
        # A statement that agrees with a measurement takes nothing from it.
        readings.discard("claimed")
    if "replaced" in readings:
        readings.discard("replaced_claimed")
    worst: Reading = min(readings, key=ORDER.index, default="none")
    if worst in LOSSES and not _measured_loss(items):
        if "retained" in readings:
            worst = "conflict"
        elif "replaced" in readings:
            worst = "replaced_disputed"
    if worst == "replaced_claimed" and "retained" in readings:
        # A statement against a measurement: neither settles it.
        worst = "conflict"
    if contesting and worst not in LOSSES and worst != "replaced":
        worst = "conflict"
    return ModelReading(model.id, worst, (*items, *contesting))


def _read_item(item: EvidenceFact) -> Reading:
    measured = item.method == "measured"
    if item.result == "retained":
        return "retained" if measured else "claimed"
    if item.result == "replaced":
        return "replaced" if measured else "replaced_claimed"
    if item.result == "removed":
        return "removed"
    return "reduced" if item.result == "reduced" else "unknown"


def _measured_loss(items: Iterable[EvidenceFact]) -> bool:
    return any(item.method == "measured" and item.result in LOSSES for item in items)


def judge_guardrail(speaking: Speaking, case: Case) -> Verdict:
    """Judge one guardrail clause as it speaks through one carrier.

    Source: NVIDIA Open Model License Agreement 2.1 and its like, as quoted in the clause.
    """
    own = read_model(case.subject)
    if speaking.carrier == case.subject.id and own.reading in ("none", "retained", "claimed"):
        return _untouched(speaking, case, own)
    between = _readings_between(speaking, case)
    upstream = between[0] if between else ModelReading("", "none")
    if own.reading in LOSSES:
        return _lost(speaking, case, own)
    if upstream.reading in LOSSES and own.reading not in ("retained", "replaced"):
        return _lost(speaking, case, upstream)
    swapped = [item for item in (own, *between) if item.reading in REPLACED]
    if swapped:
        return _replaced(speaking, case, own, upstream, swapped[0])
    if own.reading == "retained" and upstream.reading not in (*LOSSES, "conflict"):
        return _kept(speaking, case, own)
    return _unclear(speaking, case, own, upstream)


def _readings_between(speaking: Speaking, case: Case) -> list[ModelReading]:
    """Read each model between the subject and the carrier, the worst first."""
    if speaking.carrier == case.subject.id:
        return []
    names = sorted(speaking.between - {case.subject.id})
    readings = [read_model(case.lineage.models[name]) for name in names]
    return sorted(readings, key=lambda item: (ORDER.index(item.reading), item.model))


def _untouched(speaking: Speaking, case: Case, own: ModelReading) -> Verdict:
    because = (
        f"The licence of {case.subject.id} itself speaks here; nothing says that a guardrail was "
        "taken out of it after it was published."
    )
    finding = make_finding(
        speaking,
        case,
        status="met",
        severity="info",
        because=because,
        evidence=refer(own.evidence),
    )
    return one(finding)


def _kept(speaking: Speaking, case: Case, own: ModelReading) -> Verdict:
    because = f"A measurement shows that {case.subject.id} kept the guardrails of its base."
    finding = make_finding(
        speaking,
        case,
        status="met",
        severity="info",
        because=because,
        evidence=refer(own.evidence),
    )
    return one(finding)


def _lost(speaking: Speaking, case: Case, reading: ModelReading) -> Verdict:
    what = "removed from" if reading.reading == "removed" else "weakened in"
    because = f"Guardrails were {what} {reading.model}; by this text "
    if speaking.clause.params.get("ends") is False:
        because += "that is not allowed, and the licensor may end the licence for it."
    else:
        because += "the rights end by themselves, without notice and without a time to cure."
    remedy = "Do not use this checkpoint; go back to one that kept its guardrails."
    if speaking.clause.params["substitute"] == "substantially_similar":
        remedy += " Or put a substantially similar guardrail in place and measure it (replaced)."
    return _breach(speaking, case, because, remedy, reading)


def _breach(
    speaking: Speaking, case: Case, because: str, remedy: str, reading: ModelReading
) -> Verdict:
    finding = make_finding(
        speaking,
        case,
        status="violated",
        severity="critical",
        because=because,
        remedy=remedy,
        evidence=refer(reading.evidence),
    )
    if speaking.clause.params.get("ends") is False:
        # The text forbids it and lets the licensor end the licence; it does not end by itself.
        return one(finding)
    ended = Termination(
        licence=speaking.clause.licence,
        licence_title=speaking.licence.title,
        version=speaking.licence.version,
        section=speaking.clause.section,
        quote=speaking.clause.quote,
        model=speaking.carrier,
        path=case.lineage.path(speaking.carrier),
        scope="all",
        effective=None,
        breach="guardrail",
    )
    return one(finding, ended)


def _replaced(
    speaking: Speaking,
    case: Case,
    own: ModelReading,
    upstream: ModelReading,
    reading: ModelReading,
) -> Verdict:
    if speaking.clause.params["substitute"] == "not_allowed":
        if own.reading == "retained":
            return _unclear(speaking, case, own, upstream)
        because = (
            f"The guardrails of {reading.model} were replaced, and this version of the text "
            "allows no substitute."
        )
        remedy = "Restore the original guardrail, or use a model under a version that allows one."
        return _breach(speaking, case, because, remedy, reading)
    if own.reading == "replaced" and upstream.reading not in (*LOSSES, "conflict"):
        because = f"A measurement shows that the substitute in {own.model} is comparable."
        finding = make_finding(
            speaking,
            case,
            status="met",
            severity="low",
            because=because,
            evidence=refer(own.evidence),
        )
        return one(finding)
    if own.reading == "retained" and upstream.reading not in (*LOSSES, "conflict"):
        return _kept(speaking, case, own)
    return _unclear(speaking, case, own, upstream)


_WHY: dict[Reading, str] = {
    "removed": "a model in between lost its guardrails, and this one measures as having them or "
    "a comparable substitute; whether the rights had ended by then is open",
    "reduced": "a model in between lost guardrails, and this one measures as having them or a "
    "comparable substitute; whether the rights had ended by then is open",
    "conflict": "the evidence contradicts itself",
    "replaced": "the substitute was measured on another model than this one",
    "replaced_disputed": "a measurement found a comparable substitute, and somebody says that the "
    "guardrails are gone",
    "replaced_claimed": "somebody says that the substitute is comparable, and nobody measured it",
    "unknown": "the measurement gave no clear result",
    "claimed": "somebody says that the guardrails were kept, and nobody measured it",
    "retained": "only a model in between was measured, and this one was not",
    "none": "it is a derivative, and no evidence says what became of the guardrails",
}


def _unclear(speaking: Speaking, case: Case, own: ModelReading, upstream: ModelReading) -> Verdict:
    settled = ("none", "retained", "replaced")
    telling = upstream if own.reading in settled and upstream.model else own
    because = f"{case.subject.id}: {_WHY[telling.reading]}."
    finding = make_finding(
        speaking,
        case,
        status="needs_review",
        severity="high",
        because=because,
        remedy=MEASURE,
        evidence=refer((*own.evidence, *upstream.evidence)),
    )
    return one(finding)

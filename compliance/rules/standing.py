"""Say whether an approved checkpoint may still run for its use, and what a lawsuit would stop.

Pure: takes facts, approval, matters and the day as plain data and writes nothing. An approval
does not outlive the licence it rests on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from compliance.rules.assessment import Assessment, Finding, Termination
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, Matter

State = Literal["ok", "review_required", "ended"]
Cause = Literal["none", "matter", "breach", "approval_expired", "approval_withdrawn", "matter_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Hold what people decided about (checkpoint, use).

    `expires_on` is the last day it counts; `acknowledged_matters` are the ids of the matters the
    reviewers had before them.
    """

    decision: str
    expires_on: date | None = None
    withdrawn: bool = False
    acknowledged_matters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Say whether it may run, and if not, which words of which licence say so."""

    state: State
    cause: Cause
    because: str
    decision: str
    licence: str | None = None
    licence_title: str | None = None
    version: str | None = None
    section: str | None = None
    quote: str | None = None
    matter: str | None = None
    effective: date | None = None
    model: str | None = None

    @property
    def may_serve(self) -> bool:
        """Say whether a permit may be renewed: only an undoubted standing serves."""
        return self.state == "ok"

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form; the names of the licence fields are those of the 451 body."""
        return {
            "state": self.state,
            "cause": self.cause,
            "because": self.because,
            "decision": self.decision,
            "licence": self.licence,
            "licence_title": self.licence_title,
            "version": self.version,
            "section": self.section,
            "quote": self.quote,
            "matter": self.matter,
            "effective": None if self.effective is None else self.effective.isoformat(),
            "model": self.model,
        }


def standing(
    facts: Facts,
    approval: Approval,
    library: Library,
    *,
    matters: Iterable[Matter],
    as_of: date,
) -> Standing:
    """Say how (checkpoint, use) stands today, given every matter known today.

    Laws: one more filed matter never improves a standing; an ended licence outranks any approval.
    """
    judged = evaluate(replace(facts, matters=tuple(matters), as_of=as_of), library)
    for ended in _first_ended(judged):
        return _ended(ended, approval)
    if approval.withdrawn:
        return Standing(
            state="ended",
            cause="approval_withdrawn",
            because="The approval was withdrawn.",
            decision=approval.decision,
        )
    if approval.expires_on is not None and as_of > approval.expires_on:
        return Standing(
            state="ended",
            cause="approval_expired",
            because=f"The approval counted until {approval.expires_on}.",
            decision=approval.decision,
            effective=approval.expires_on,
        )
    for finding in _open_matters(judged, approval):
        return _open(finding, approval)
    return Standing(
        state="ok",
        cause="none",
        because="Approved, and no licence has ended.",
        decision=approval.decision,
    )


def _first_ended(judged: Assessment) -> list[Termination]:
    """Keep the terminations of whole licences, the nearest in the lineage and oldest first."""
    whole = [one for one in judged.terminated if one.scope == "all"]
    return sorted(
        whole, key=lambda one: (len(one.path), str(one.effective or ""), one.licence, one.model)
    )


def _ended(ended: Termination, approval: Approval) -> Standing:
    if ended.matter is not None:
        cause: Cause = "matter"
        because = f"Matter {ended.matter} ended the licence of {ended.model}."
    else:
        cause = "breach"
        because = f"A breach ({ended.breach}) ended the licence of {ended.model}."
    return Standing(
        state="ended",
        cause=cause,
        because=because,
        decision=approval.decision,
        licence=ended.licence,
        licence_title=ended.licence_title,
        version=ended.version,
        section=ended.section,
        quote=ended.quote,
        matter=ended.matter,
        effective=ended.effective,
        model=ended.model,
    )


def _open_matters(judged: Assessment, approval: Approval) -> list[Finding]:
    """Keep the open questions that a matter raised and no reviewer has seen."""
    seen = set(approval.acknowledged_matters)
    return [
        item
        for item in judged.findings
        if item.rule == "litigation"
        and item.status in ("needs_review", "violated")
        and any(one.kind == "matter" and one.reference not in seen for one in item.evidence)
    ]


def _open(finding: Finding, approval: Approval) -> Standing:
    matter = next(one.reference for one in finding.evidence if one.kind == "matter")
    return Standing(
        state="review_required",
        cause="matter_open",
        because=finding.because,
        decision=approval.decision,
        licence=finding.licence,
        section=finding.section,
        quote=finding.quote,
        matter=matter,
        model=finding.model,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Name one thing that runs: its id, the checkpoint it serves, and the approval it rests on."""

    id: str
    checkpoint: str
    approval: Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Say what the matter does to one deployment."""

    deployment: str
    checkpoint: str
    before: Standing
    after: Standing

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form."""
        return {
            "deployment": self.deployment,
            "checkpoint": self.checkpoint,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """List what filing a matter would end, what it would put in doubt, and what it leaves.

    `already_down` did not stand before either.
    """

    matter: Matter
    ends: tuple[Impact, ...]
    doubts: tuple[Impact, ...]
    untouched: tuple[str, ...]
    already_down: tuple[str, ...]
    checkpoints_ended: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form."""
        return {
            "matter": self.matter.id,
            "filed_on": self.matter.filed_on.isoformat() if self.matter.filed_on else None,
            "ends": [one.to_dict() for one in self.ends],
            "doubts": [one.to_dict() for one in self.doubts],
            "untouched": list(self.untouched),
            "already_down": list(self.already_down),
            "checkpoints_ended": list(self.checkpoints_ended),
        }


def blast_radius(
    facts_by_checkpoint: Mapping[str, Facts],
    matter: Matter,
    deployments: Iterable[Deployment],
    library: Library,
    *,
    as_of: date,
    matters: Iterable[Matter] = (),
) -> BlastRadius:
    """Say what would go down if the matter were filed; writes nothing.

    `matters` are those that already exist. A draft is looked at as filed on `as_of`.
    Law: what ends here ends with `standing` once the matter is filed.
    """
    filed = as_if_filed(matter, as_of)
    existing = tuple(one for one in matters if one.id != matter.id)
    sides: dict[str, list[Impact]] = {"ends": [], "doubts": [], "untouched": [], "down": []}
    for item in sorted(deployments, key=lambda one: one.id):
        impact = _impact(
            facts_by_checkpoint[item.checkpoint], item, library, existing, filed, as_of
        )
        sides[_side(impact)].append(impact)
    return BlastRadius(
        matter=filed,
        ends=tuple(sides["ends"]),
        doubts=tuple(sides["doubts"]),
        untouched=tuple(one.deployment for one in sides["untouched"]),
        already_down=tuple(one.deployment for one in sides["down"]),
        checkpoints_ended=tuple(sorted({one.checkpoint for one in sides["ends"]})),
    )


def as_if_filed(matter: Matter, as_of: date) -> Matter:
    """Give the matter as it would be once filed, today when no day is named."""
    filed_on = matter.filed_on if matter.filed_on and matter.filed_on <= as_of else as_of
    return replace(matter, status="filed", filed_on=filed_on, withdrawn_on=None)


def _impact(
    facts: Facts,
    item: Deployment,
    library: Library,
    existing: tuple[Matter, ...],
    filed: Matter,
    as_of: date,
) -> Impact:
    before = standing(facts, item.approval, library, matters=existing, as_of=as_of)
    after = standing(facts, item.approval, library, matters=(*existing, filed), as_of=as_of)
    return Impact(deployment=item.id, checkpoint=item.checkpoint, before=before, after=after)


def _side(impact: Impact) -> str:
    if impact.before.state == "ended":
        return "down"
    if impact.after.state == "ended":
        return "ends"
    return "doubts" if impact.after.state == "review_required" else "untouched"

"""The shape of a judgement: findings, binding licences, terminations, one decision.

Owns vocabulary, order and canonical bytes; decides nothing. The plain-data form is the JSON
answer of `lictor evaluate --json`.
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from compliance.rules.facts import canonical_json

SCHEMA = "lictor.assessment/1"
DISCLAIMER = "This is an automated reading of licence texts and declared facts, not legal advice."

Decision = Literal["allow", "allow_with_conditions", "needs_review", "deny"]
Status = Literal["met", "unmet", "violated", "needs_review", "not_applicable"]
Severity = Literal["info", "low", "medium", "high", "critical"]

DECISIONS: tuple[Decision, ...] = ("allow", "allow_with_conditions", "needs_review", "deny")
STATUS_ORDER: dict[str, int] = {
    "violated": 0,
    "needs_review": 1,
    "unmet": 2,
    "met": 3,
    "not_applicable": 4,
}
DECISION_BY_STATUS: dict[str, Decision] = {
    "violated": "deny",
    "needs_review": "needs_review",
    "unmet": "allow_with_conditions",
    "met": "allow",
    "not_applicable": "allow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRef:
    """Point at what a finding rests on."""

    kind: str
    reference: str = ""
    summary: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form used in the JSON answer."""
        return {"kind": self.kind, "reference": self.reference, "summary": self.summary}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """State what one rule found for one model under one licence.

    `model` is the model whose licence text speaks; `path` leads from the subject to it.
    `licence` is a catalogue key, or None where no licence could be identified.
    `waived_by` is the id of a waiver that covers this finding; a waived finding keeps its status
    but no longer weighs on the decision.
    """

    rule: str
    status: Status
    severity: Severity
    model: str
    because: str
    licence: str | None = None
    section: str | None = None
    quote: str | None = None
    path: tuple[str, ...] = ()
    remedy: str | None = None
    evidence: tuple[EvidenceRef, ...] = ()
    waived_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form used in the JSON answer."""
        return {
            "rule": self.rule,
            "licence": self.licence,
            "section": self.section,
            "quote": self.quote,
            "status": self.status,
            "severity": self.severity,
            "model": self.model,
            "path": list(self.path),
            "because": self.because,
            "remedy": self.remedy,
            "evidence": [item.to_dict() for item in self.evidence],
            "waived_by": self.waived_by,
        }

    def sort_key(self) -> tuple[int, str, str, str, tuple[str, ...], str]:
        """Order findings worst first, then by name, so that input order cannot show."""
        order = STATUS_ORDER[self.status]
        return (order, self.rule, self.licence or "", self.model, self.path, self.because)


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingLicence:
    """Say that a licence version binds the subject, and through which model path.

    `model` is the model that carries the licence (the last of `path`); `subject_kind` is "model"
    or "dataset". `resolution` is one of exact_text, pinned, declared, candidate, near_text,
    unresolved.
    """

    licence: str
    version: str | None
    title: str
    model: str
    path: tuple[str, ...]
    resolution: str
    relation: str | None = None
    subject_kind: str = "model"

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form used in the JSON answer."""
        return {
            "licence": self.licence,
            "version": self.version,
            "title": self.title,
            "model": self.model,
            "path": list(self.path),
            "resolution": self.resolution,
            "relation": self.relation,
            "subject_kind": self.subject_kind,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """Say that rights under a licence ended, for which model, since when and why.

    `scope` is "all" or "patent_only"; `effective` is None when the text names no day.
    Exactly one of `matter` (its id) and `breach` (a rule name) is set.
    """

    licence: str
    licence_title: str
    version: str | None
    section: str
    quote: str
    model: str
    path: tuple[str, ...]
    scope: str
    effective: date | None
    matter: str | None = None
    breach: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form used in the JSON answer."""
        return {
            "licence": self.licence,
            "licence_title": self.licence_title,
            "version": self.version,
            "section": self.section,
            "quote": self.quote,
            "model": self.model,
            "path": list(self.path),
            "scope": self.scope,
            "effective": None if self.effective is None else self.effective.isoformat(),
            "matter": self.matter,
            "breach": self.breach,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Hold one whole judgement.

    Laws: equal facts and an equal catalogue give equal bytes; `decision` is the worst that any
    unwaived finding asks for.
    """

    subject: str
    as_of: date
    decision: Decision
    binding_licences: tuple[BindingLicence, ...]
    findings: tuple[Finding, ...]
    terminated: tuple[Termination, ...]
    facts_digest: str
    catalogue_digest: str

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON answer as plain data."""
        return {
            "schema": SCHEMA,
            "decision": self.decision,
            "subject": self.subject,
            "as_of": self.as_of.isoformat(),
            "binding_licences": [item.to_dict() for item in self.binding_licences],
            "findings": [item.to_dict() for item in self.findings],
            "terminated": [item.to_dict() for item in self.terminated],
            "facts_digest": self.facts_digest,
            "catalogue_digest": self.catalogue_digest,
            "disclaimer": DISCLAIMER,
        }

    def canonical_bytes(self) -> bytes:
        """Write the answer as canonical JSON: same input, same bytes."""
        return canonical_json(self.to_dict())

    def digest(self) -> str:
        """Digest the canonical bytes as "sha256:<hex>"; a review approves exactly this."""
        return "sha256:" + hashlib.sha256(self.canonical_bytes()).hexdigest()


def decide(findings: tuple[Finding, ...]) -> Decision:
    """Take the worst decision that any unwaived finding asks for."""
    asked = [DECISION_BY_STATUS[item.status] for item in findings if item.waived_by is None]
    return max(asked, key=DECISIONS.index, default="allow")

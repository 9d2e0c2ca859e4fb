"""What a clause function sees: the facts, the lineage, and the licence that speaks.

Owns the answers that several clauses share (is it distributed? is it a derivative?) and the
making of findings. Decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from compliance.rules.assessment import EvidenceRef, Finding, Severity, Status, Termination
from compliance.rules.catalogue import Clause, LicenceVersion
from compliance.rules.facts import EvidenceFact, Facts, Matter, ModelFacts
from compliance.rules.lineage import Lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Hold what is the same for every clause of one judgement.

    `licence_keys[m]` are the catalogue keys that model m carries by itself, for every described
    model, and `open_models` those of which only one of them binds; `alleged_ancestors[a]` are
    the ancestors of each model that a matter names; `own_licences` are those the subject itself
    is offered under.
    """

    facts: Facts
    lineage: Lineage
    subject: ModelFacts
    licence_keys: Mapping[str, frozenset[str]]
    alleged_ancestors: Mapping[str, frozenset[str]]
    own_licences: tuple[LicenceVersion, ...] = ()
    open_models: frozenset[str] = frozenset()

    @property
    def purposes_known(self) -> bool:
        """Say whether anybody stated what the model is for."""
        return bool(self.facts.use.purposes)

    @property
    def distributes(self) -> bool:
        """Say whether copies go out; an unstated purpose counts as yes."""
        return not self.purposes_known or "redistribution" in self.facts.use.purposes

    def goes_out(self, licence: LicenceVersion) -> bool:
        """Say whether copies go out in the sense of one licence: some count hosting too."""
        hosts = "hosted_service" in self.facts.use.purposes
        return self.distributes or (hosts and bool(licence.clauses_of("hosting_counts")))

    @property
    def makes_available(self) -> bool:
        """Say whether others get copies or a service; an unstated purpose counts as yes."""
        return self.distributes or "hosted_service" in self.facts.use.purposes

    def matters(self) -> tuple[Matter, ...]:
        """List the matters by id."""
        return tuple(sorted(self.facts.matters, key=lambda one: one.id))

    def evidence(self, kind: str) -> tuple[EvidenceFact, ...]:
        """List the subject's evidence of one kind, in a fixed order."""
        return evidence_of(self.subject, kind)


def evidence_of(model: ModelFacts, kind: str) -> tuple[EvidenceFact, ...]:
    """List a model's evidence of one kind, in a fixed order."""
    found = [item for item in model.evidence if item.kind == kind]
    return tuple(
        sorted(found, key=lambda item: (item.result, item.method, item.reference, item.summary))
    )


def refer(items: tuple[EvidenceFact, ...]) -> tuple[EvidenceRef, ...]:
    """Point at evidence from a finding."""
    return tuple(
        EvidenceRef(
            kind=item.kind,
            reference=item.reference,
            summary=item.summary or f"{item.result} ({item.method})",
        )
        for item in items
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking:
    """Hold one clause as it speaks through one model that carries it.

    `derivative` is True when the subject, or what lies between, was made from a carrier of this
    licence. `between` are the models from the subject up to the carrier, the carrier left out
    (only its evidence-bearing and alleged ones matter, so only those are listed). `doubtful`
    says that the stored text resembles this licence but lacks this clause's words.
    """

    clause: Clause
    licence: LicenceVersion
    carrier: str
    derivative: bool
    candidate: bool = False
    doubtful: bool = False
    between: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold what one clause function found."""

    findings: tuple[Finding, ...] = ()
    terminated: tuple[Termination, ...] = ()


def make_finding(
    speaking: Speaking,
    case: Case,
    *,
    status: Status,
    severity: Severity,
    because: str,
    remedy: str | None = None,
    evidence: tuple[EvidenceRef, ...] = (),
) -> Finding:
    """Make a finding that quotes the clause which speaks."""
    clause = speaking.clause
    if speaking.candidate and status != "met":
        because += f" (Under '{clause.licence}', the strictest version this may be.)"
    return Finding(
        rule=clause.kind,
        licence=clause.licence,
        section=clause.section,
        quote=clause.quote,
        status=status,
        severity=severity,
        model=speaking.carrier,
        path=case.lineage.path(speaking.carrier),
        because=because,
        remedy=remedy,
        evidence=evidence,
    )


def one(finding: Finding, *terminated: Termination) -> Verdict:
    """Wrap a single finding."""
    return Verdict((finding,), terminated)

"""Judge litigation clauses: does a lawsuit of ours end the licence?

Texts differ in the rights they name, in whether outputs count, in what ends, in how far it
reaches and in whether an answer to somebody else's suit is spared. None gives rights back when a
suit is withdrawn.
"""

from dataclasses import dataclass
from typing import Literal

from compliance.rules.assessment import EvidenceRef, Finding, Severity, Status, Termination
from compliance.rules.catalogue import LitigationTerms, litigation_terms
from compliance.rules.context import Case, Speaking, Verdict, make_finding
from compliance.rules.facts import Matter
from compliance.rules.text import words

Hit = Literal["named", "derivative", "sibling", "same_licence", "perhaps_same_licence"]
STANDS = "Ask the licensor for a new licence in writing, or stop using the models named here."


@dataclass(frozen=True, slots=True)
class Named:
    """Say how a matter touches a carrier: through which alleged model."""

    hit: Hit
    model: str


def judge_litigation(speaking: Speaking, case: Case) -> Verdict:
    """Judge one litigation clause against every matter.

    Law: one more matter never makes the verdict milder.
    """
    terms = litigation_terms(speaking.clause)
    findings: list[Finding] = []
    ended: list[Termination] = []
    for matter in case.matters():
        verdict = _judge_matter(speaking, case, terms, matter)
        findings.extend(verdict.findings)
        ended.extend(verdict.terminated)
    if not findings:
        because = "No matter of this organisation alleges that this model infringes."
        findings.append(
            make_finding(speaking, case, status="met", severity="info", because=because)
        )
    return Verdict(tuple(findings), tuple(ended))


def _judge_matter(
    speaking: Speaking, case: Case, terms: LitigationTerms, matter: Matter
) -> Verdict:
    named = _touches(speaking, case, terms, matter)
    if named is None:
        return _only_outputs(speaking, case, terms, matter)
    told = f"Matter {matter.id} ({matter.kind}) alleges that {named.model} infringes"
    counts = "any" in terms.rights or matter.kind in (*terms.rights, "other")
    if counts and matter.in_response is True and _spares_answers(terms):
        because = f"{told}, in answer to a suit first brought against us, which this text spares."
        remedy = "Keep the record of the first suit with this matter."
        return _say(speaking, case, matter, "met", "medium", because, remedy)
    if (
        counts
        and matter.status in ("draft", "threatened")
        and not (terms.threats and matter.status == "threatened")
    ):
        return _not_filed(speaking, case, matter, told)
    if "any" not in terms.rights and matter.kind not in terms.rights:
        return _other_right(speaking, case, terms, matter, told)
    if matter.filed_on is not None and matter.filed_on > case.facts.as_of:
        because = f"{told}; it is dated {matter.filed_on}, after the day of this judgement."
        remedy = "Correct the filing date, or judge again on that day."
        return _say(speaking, case, matter, "needs_review", "high", because, remedy)
    return _effect(speaking, case, terms, matter, named, told)


def _spares_answers(terms: LitigationTerms) -> bool:
    return terms.carve_out == "responsive_suit" or not terms.counterclaims


def _touches(
    speaking: Speaking, case: Case, terms: LitigationTerms, matter: Matter
) -> Named | None:
    alleged = set(matter.alleges_model_infringes)
    if terms.outputs:
        alleged.update(matter.alleges_output_infringes)
    carrier = speaking.carrier
    if carrier in alleged:
        return Named("named", carrier)
    on_path = sorted(alleged & speaking.between)
    if on_path:
        return Named("derivative", on_path[0])
    if terms.reach == "whole_licence":
        same = [
            name
            for name in sorted(alleged)
            if speaking.licence.key in case.licence_keys.get(name, frozenset())
        ]
        sure = [name for name in same if name not in case.open_models]
        if sure:
            return Named("same_licence", sure[0])
        if same:
            return Named("perhaps_same_licence", same[0])
    aside = [name for name in sorted(alleged) if carrier in case.alleged_ancestors[name]]
    return Named("sibling", aside[0]) if aside else None


def _only_outputs(
    speaking: Speaking, case: Case, terms: LitigationTerms, matter: Matter
) -> Verdict:
    """Say so when a suit aims at outputs only and this text does not count them."""
    reached = {speaking.carrier, *speaking.between}
    if terms.outputs or not reached.intersection(matter.alleges_output_infringes):
        return Verdict()
    because = f"Matter {matter.id} aims at outputs only, which this text does not name."
    return _say(speaking, case, matter, "not_applicable", "low", because)


def _other_right(
    speaking: Speaking, case: Case, terms: LitigationTerms, matter: Matter, told: str
) -> Verdict:
    rights = " and ".join(sorted(terms.rights))
    if matter.kind == "other":
        because = f"{told}; the right is not stated, and this text names {rights}."
        remedy = "State the kind of right the matter rests on."
        return _say(speaking, case, matter, "needs_review", "high", because, remedy)
    because = f"{told}; this text names only {rights}, so it is not touched."
    return _say(speaking, case, matter, "not_applicable", "low", because)


def _not_filed(speaking: Speaking, case: Case, matter: Matter, told: str) -> Verdict:
    because = f"{told}; it is not filed ({matter.status}). Filing it would end rights here."
    remedy = "Look at what filing would stop (what-if) before anybody files."
    return _say(speaking, case, matter, "met", "medium", because, remedy)


def _effect(
    speaking: Speaking,
    case: Case,
    terms: LitigationTerms,
    matter: Matter,
    named: Named,
    told: str,
) -> Verdict:
    if matter.brought_by == "affiliate" and speaking.clause.actor != "group":
        because = f"{told}; an affiliate brought it, and the text does not plainly count those."
        remedy = "Have the legal reviewer decide whether the affiliate's suit counts."
        return _say(speaking, case, matter, "needs_review", "critical", because, remedy)
    if terms.against == "licensor" and not _against_licensor(speaking, matter):
        because = f"{told}; this text counts only suits against the licensor."
        remedy = "Have the legal reviewer say whom the suit is brought against."
        return _say(speaking, case, matter, "needs_review", "critical", because, remedy)
    if named.hit == "perhaps_same_licence":
        because = f"{told}; which version of its licence binds that model is open, and this text "
        because += "ends with a suit over any model under it."
        remedy = f"Pin the licence version of {named.model}."
        return _say(speaking, case, matter, "needs_review", "critical", because, remedy)
    if _is_open_question(speaking, named):
        because = f"{told}, a derivative of {speaking.carrier}; whether the licence for "
        because += f"{speaking.carrier} itself ends, the text leaves open."
        remedy = "Have the legal reviewer decide whether the suit reaches the base model."
        return _say(speaking, case, matter, "needs_review", "critical", because, remedy)
    if matter.status in ("withdrawn", "closed"):
        return _withdrawn(speaking, case, terms, matter, told)
    ended = _termination(speaking, case, terms, matter)
    since = _since(matter)
    if terms.ends == "patent_only":
        because = f"{told}; the patent licence ended {since}, the copyright licence goes on."
        remedy = "Have the legal reviewer decide whether use without the patent licence is safe."
        found = _say(speaking, case, matter, "needs_review", "critical", because, remedy)
    else:
        because = f"{told}; the licence ended {since}."
        found = _say(speaking, case, matter, "violated", "critical", because, STANDS)
    return Verdict(found.findings, (ended,))


def _against_licensor(speaking: Speaking, matter: Matter) -> bool:
    """Say whether a defendant bears the licensor's very name; anything else is for a person."""
    wanted = " ".join(words(speaking.licence.licensor))
    return any(" ".join(words(name)) == wanted for name in matter.defendants)


def _is_open_question(speaking: Speaking, named: Named) -> bool:
    if named.hit == "sibling":
        return True
    return named.hit == "derivative" and "derivative" not in speaking.clause.scope


def _withdrawn(
    speaking: Speaking, case: Case, terms: LitigationTerms, matter: Matter, told: str
) -> Verdict:
    if matter.filed_on is None:
        because = f"{told}; it is {matter.status}, and nobody says whether it was ever filed."
        remedy = "Give the filing date, or say that it stayed a draft."
        return _say(speaking, case, matter, "needs_review", "critical", because, remedy)
    because = f"{told}; it was filed on {matter.filed_on} and is {matter.status} now. The licence "
    because += "ended at filing, and the text has no way back."
    found = _say(speaking, case, matter, "needs_review", "critical", because, STANDS)
    return Verdict(found.findings, (_termination(speaking, case, terms, matter),))


def _termination(
    speaking: Speaking, case: Case, terms: LitigationTerms, matter: Matter
) -> Termination:
    return Termination(
        licence=speaking.clause.licence,
        licence_title=speaking.licence.title,
        version=speaking.licence.version,
        section=speaking.clause.section,
        quote=speaking.clause.quote,
        model=speaking.carrier,
        path=case.lineage.path(speaking.carrier),
        scope=terms.ends,
        # A threat has a day of its own, which nobody records.
        effective=None if matter.status == "threatened" else matter.filed_on,
        matter=matter.id,
    )


def _since(matter: Matter) -> str:
    if matter.status == "threatened":
        return "with the threat"
    return "on the day it was filed" if matter.filed_on is None else f"on {matter.filed_on}"


def _say(
    speaking: Speaking,
    case: Case,
    matter: Matter,
    status: Status,
    severity: Severity,
    because: str,
    remedy: str | None = None,
) -> Verdict:
    reference = EvidenceRef(kind="matter", reference=matter.id, summary=matter.status)
    finding = make_finding(
        speaking,
        case,
        status=status,
        severity=severity,
        because=because,
        remedy=remedy,
        evidence=(reference,),
    )
    return Verdict((finding,))

"""Judge clauses that limit what the use may be, or ask for somebody's leave first.

What the text forbids by its words is violated; what it leaves to reading goes to a person.
"""

from compliance.rules.assessment import Severity, Status
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer

RESEARCH_USES = frozenset({"research", "redistribution"})
STATE_COMMERCE = "State whether the use is commercial."


def judge_noncommercial(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that grants rights for non-commercial purposes only."""
    granted = _granted(speaking, case)
    if granted is not None:
        return granted
    commercial = case.facts.use.commercial
    if commercial is None:
        because = "Nobody stated whether the use is commercial, and this text forbids that."
        return _say(speaking, case, "needs_review", "high", because, STATE_COMMERCE)
    if commercial:
        because = "The use is commercial, and this text grants non-commercial use only."
        remedy = "Use another model, or get a commercial licence from the licensor."
        return _say(speaking, case, "violated", "critical", because, remedy)
    return _say(speaking, case, "met", "low", "The use is stated to be non-commercial.")


def judge_research_only(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that grants rights for research purposes only."""
    granted = _granted(speaking, case)
    if granted is not None:
        return granted
    use = case.facts.use
    excluded = sorted({str(one) for one in speaking.clause.params.get("excludes", ())})
    broken = [purpose for purpose in excluded if purpose in use.purposes]
    if use.commercial or broken:
        why = "commercial" if use.commercial else f"for {', '.join(broken)}"
        because = f"The use is {why}, and this text grants research only."
        remedy = "Use another model, or get a wider licence from the licensor."
        return _say(speaking, case, "violated", "critical", because, remedy)
    others = sorted(set(use.purposes) - RESEARCH_USES)
    if use.commercial is None or others or "research" not in use.purposes:
        told = f"The stated purposes ({', '.join(use.purposes) or 'none'})"
        because = f"{told} do not show that the use is research, which is all this text grants."
        remedy = "State the purposes and whether the use is commercial; a reviewer decides."
        return _say(speaking, case, "needs_review", "high", because, remedy)
    return _say(speaking, case, "met", "low", "The use is stated to be non-commercial research.")


def judge_nonproduction(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that grants testing and research, and keeps production for a paid licence."""
    granted = _granted(speaking, case)
    if granted is not None:
        return granted
    purposes = set(case.facts.use.purposes)
    if "hosted_service" in purposes:
        because = "The model serves others, which is production, and this text grants none."
        return _say(speaking, case, "violated", "critical", because, _ASK)
    if purposes and purposes <= {"research"}:
        return _say(speaking, case, "met", "low", "The use is stated to be research only.")
    because = "Whether the stated use is production, which this text does not grant, is open."
    return _say(speaking, case, "needs_review", "high", because, _ASK)


def judge_authorisation(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause under which use needs the licensor's written leave."""
    open_case = _commerce_open(speaking, case)
    if open_case is not None:
        return open_case
    granted = _granted(speaking, case)
    if granted is not None:
        return granted
    because = "This text asks for the licensor's leave in writing, and none is on record."
    return _say(speaking, case, "violated", "critical", because, _ASK, "licensor_permission")


def judge_registration(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause under which the licensee registers with the licensor."""
    open_case = _commerce_open(speaking, case)
    if open_case is not None:
        return open_case
    results = {item.result for item in case.evidence("registered")}
    if results == {"confirmed"}:
        because = "The registration with the licensor is on record."
        return _say(speaking, case, "met", "info", because, evidence="registered")
    because = "This text asks for registration with the licensor, and none is on record."
    remedy = "Register with the licensor, then record evidence registered."
    return _say(speaking, case, "unmet", "medium", because, remedy, "registered")


_ASK = (
    "Get the licensor's leave in writing and record it (licensor_permission), or use another model."
)


def _granted(speaking: Speaking, case: Case) -> Verdict | None:
    if {item.result for item in case.evidence("licensor_permission")} != {"granted"}:
        return None
    because = "The licensor's leave is on record."
    return _say(speaking, case, "met", "medium", because, evidence="licensor_permission")


def _commerce_open(speaking: Speaking, case: Case) -> Verdict | None:
    """Settle a duty of commercial users for everybody else, or ask who this is."""
    if not speaking.clause.params.get("commercial_only"):
        return None
    commercial = case.facts.use.commercial
    if commercial is False:
        because = "This counts for commercial use only, and the use is not commercial."
        return _say(speaking, case, "not_applicable", "info", because)
    if commercial is None:
        because = "Nobody stated whether the use is commercial, which this duty hangs on."
        return _say(speaking, case, "needs_review", "high", because, STATE_COMMERCE)
    return None


def _say(
    speaking: Speaking,
    case: Case,
    status: Status,
    severity: Severity,
    because: str,
    remedy: str | None = None,
    evidence: str | None = None,
) -> Verdict:
    return one(
        make_finding(
            speaking,
            case,
            status=status,
            severity=severity,
            because=because,
            remedy=remedy,
            evidence=() if evidence is None else refer(case.evidence(evidence)),
        )
    )

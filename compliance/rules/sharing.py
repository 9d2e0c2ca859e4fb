"""Judge clauses about the terms under which something goes out.

Share-alike, no derivatives, terms to pass on, hosting that counts as distribution, citation and
documentation. What "source" means for weights is unsettled, so it goes to a person.
"""

from compliance.rules.assessment import Severity, Status
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer

_INSIDE = "Nothing goes out in the sense of this text: the stated purposes are internal."


def judge_share_alike(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether what was made from the work is offered under the terms the text asks for."""
    if not _reaches_others(speaking, case):
        return _say(speaking, case, "not_applicable", "info", _INSIDE)
    if not speaking.derivative:
        because = f"{case.subject.id} is offered as it was received."
        return _say(speaking, case, "not_applicable", "info", because)
    if not _same_terms(speaking, case):
        mine = ", ".join(one.key for one in case.own_licences) or "no stated licence"
        because = (
            f"{case.subject.id} was made from a work under '{speaking.licence.key}', which asks "
            f"that it be offered under the same terms; it is offered under {mine}."
        )
        remedy = f"Offer it under {_allowed(speaking)}, or make it from something else."
        return _say(speaking, case, "unmet", "high", because, remedy)
    if speaking.clause.params.get("source") and not _confirmed(case, "source_offered"):
        because = (
            f"{case.subject.id} carries the same terms; they also ask for the source, and what "
            "that is for weights is unsettled."
        )
        remedy = "Have the legal reviewer say what to offer; then record evidence source_offered."
        return _say(speaking, case, "needs_review", "medium", because, remedy, "source_offered")
    because = f"{case.subject.id} is offered under the terms this text asks for."
    return _say(speaking, case, "met", "info", because, evidence="source_offered")


def _reaches_others(speaking: Speaking, case: Case) -> bool:
    hosts = "hosted_service" in case.facts.use.purposes
    if speaking.clause.params.get("network") and hosts:
        return True
    return case.goes_out(speaking.licence)


def _same_terms(speaking: Speaking, case: Case) -> bool:
    allowed = {str(one) for one in speaking.clause.params.get("also_under", ())}
    return any(
        one.family == speaking.licence.family or one.key in allowed for one in case.own_licences
    )


def _allowed(speaking: Speaking) -> str:
    also = [str(one) for one in speaking.clause.params.get("also_under", ())]
    return " or ".join([speaking.licence.key, *also])


def judge_no_derivatives(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that keeps adapted works back.

    Source of the exception: Creative Commons 4.0 section 2(a)(4), by which a mere change of
    format makes no adapted material; whether quantising is one, a person says.
    """
    if not speaking.derivative:
        because = f"{case.subject.id} is used as it was received."
        return _say(speaking, case, "met", "info", because)
    if speaking.clause.params["sharing_only"] and not case.goes_out(speaking.licence):
        because = "The text lets adapted works be made, not shared, and nothing goes out."
        return _say(speaking, case, "met", "low", because)
    if _granted(case):
        because = "The licensor's leave is on record."
        return _say(speaking, case, "met", "medium", because, evidence="licensor_permission")
    if speaking.clause.params["sharing_only"] and not case.purposes_known:
        because = (
            f"{case.subject.id} was made from {speaking.carrier}, which may not be shared so; "
        )
        because += "nobody stated whether it goes out."
        return _say(speaking, case, "needs_review", "high", because, "State the purposes.")
    if _only_reformatted(speaking, case):
        because = f"{case.subject.id} is a quantised form; whether that adapts the work is open."
        remedy = "Have the legal reviewer decide whether quantising is a change of format."
        return _say(speaking, case, "needs_review", "high", because, remedy)
    because = f"{case.subject.id} was made from {speaking.carrier}, and this text allows no such "
    because += "work to be shared."
    remedy = "Do not pass it on; share the unchanged original, or use another model."
    return _say(speaking, case, "violated", "critical", because, remedy)


def _only_reformatted(speaking: Speaking, case: Case) -> bool:
    """Say whether every work under this licence came to the subject by quantising alone."""
    lineage = case.lineage
    adapted = {
        name
        for name, steps in lineage.steps_down.items()
        if any(relation != "quantized" for _, relation in steps)
    }
    waiting = list(adapted)
    while waiting:
        # What an adapted work was made from reached the subject through it.
        for link in lineage.parents(waiting.pop()):
            if link.id not in adapted:
                adapted.add(link.id)
                waiting.append(link.id)
    carriers = {
        name
        for name in lineage.order
        if name != case.subject.id
        and speaking.licence.key in case.licence_keys.get(name, frozenset())
    }
    return bool(carriers) and not carriers & adapted


def judge_no_redistribution(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that lets nothing be passed on, changed or not."""
    if not case.goes_out(speaking.licence):
        return _say(speaking, case, "met", "info", "Nothing goes out in the sense of this text.")
    if _granted(case):
        because = "The licensor's leave is on record."
        return _say(speaking, case, "met", "medium", because, evidence="licensor_permission")
    if not case.purposes_known:
        because = "This text lets nothing be passed on; nobody stated whether it goes out."
        return _say(speaking, case, "needs_review", "high", because, "State the purposes.")
    because = "Copies go out, and this text does not allow that."
    remedy = "Do not pass it on; have recipients get it from the licensor."
    return _say(speaking, case, "violated", "critical", because, remedy)


def _granted(case: Case) -> bool:
    return {item.result for item in case.evidence("licensor_permission")} == {"granted"}


def judge_pass_through(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether those who receive it are bound to the terms that must be passed on."""
    if not case.goes_out(speaking.licence):
        return _say(speaking, case, "not_applicable", "info", _INSIDE)
    what = "use restrictions"
    if speaking.clause.params["what"] == "whole_agreement":
        what = "terms of the whole agreement"
    if _confirmed(case, "terms_passed_on"):
        because = f"The {what} are confirmed to bind whoever receives it."
        return _say(speaking, case, "met", "info", because, evidence="terms_passed_on")
    because = f"Nobody confirmed that the {what} bind whoever receives it."
    remedy = f"Put the {what} into your own terms as binding provisions; record evidence "
    remedy += "terms_passed_on."
    return _say(speaking, case, "unmet", "medium", because, remedy, "terms_passed_on")


def judge_hosting_counts(speaking: Speaking, case: Case) -> Verdict:
    """Report that a hosted service counts as distribution by this text."""
    because = "By this text a hosted service counts as distribution."
    if "hosted_service" in case.facts.use.purposes:
        because += " The use is one, so every duty of distribution is judged."
    return _say(speaking, case, "not_applicable", "info", because)


def judge_citation(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether publications name the model as the text asks."""
    if not (case.distributes or "research" in case.facts.use.purposes):
        because = "Nothing is published: the stated purposes are neither research nor sharing."
        return _say(speaking, case, "not_applicable", "info", because)
    if _confirmed(case, "cited"):
        because = "Publications are confirmed to name it."
        return _say(speaking, case, "met", "info", because, evidence="cited")
    words = speaking.clause.params.get("text")
    told = f" in the words “{words}”" if words else ""
    because = "Nobody confirmed that publications name it as the text asks."
    remedy = f"Name it in what is published{told}; record evidence cited."
    return _say(speaking, case, "unmet", "low", because, remedy, "cited")


def judge_documentation(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether the explanatory documentation goes out, extended where needed."""
    if not case.goes_out(speaking.licence):
        return _say(speaking, case, "not_applicable", "info", _INSIDE)
    if _confirmed(case, "documentation_kept"):
        because = "The documentation is confirmed to be kept and brought up to date."
        return _say(speaking, case, "met", "info", because, evidence="documentation_kept")
    because = "Nobody confirmed that the model's documentation is kept and brought up to date."
    remedy = "Ship the card, say what was changed, and record evidence documentation_kept."
    return _say(speaking, case, "unmet", "low", because, remedy, "documentation_kept")


def _confirmed(case: Case, kind: str) -> bool:
    return {item.result for item in case.evidence(kind)} == {"confirmed"}


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

"""Judge what a text says of the model's outputs: who may train on them, who may use them.

A student trained against such a text is a question for a person: the text binds whoever trained
it, and what that means for somebody who merely runs the student is unsettled.
"""

from compliance.rules.assessment import Finding
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer

_WHAT = {
    "language_models": "other language models",
    "any_model": "other models",
    "competing_models": "models that compete with the licensor's",
}


def judge_output_training(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that forbids to improve other models with the model or its outputs."""
    what = _WHAT[str(speaking.clause.params["forbids"])]
    findings = [
        _students(speaking, case, teacher, student, what)
        for teacher, student in _taught(speaking, case)
    ]
    if "training_other_models" in case.facts.use.purposes:
        findings.append(_trains(speaking, case, what))
    elif not case.purposes_known:
        because = f"This text forbids to improve {what}; nobody stated what the model is for."
        findings.append(
            make_finding(
                speaking,
                case,
                status="needs_review",
                severity="medium",
                because=because,
                remedy="State the purposes.",
            )
        )
    if not findings:
        because = "The stated purposes do not include training other models."
        findings.append(
            make_finding(speaking, case, status="met", severity="info", because=because)
        )
    return Verdict(tuple(findings))


def _taught(speaking: Speaking, case: Case) -> list[tuple[str, str]]:
    """List (teacher under this licence, student) on every way down to the subject."""
    spared = {str(one) for one in speaking.clause.params.get("spares", ())}
    spared.add(speaking.clause.licence)
    return [
        (teacher, student)
        for teacher, steps in sorted(case.lineage.steps_down.items())
        if speaking.clause.licence in case.licence_keys.get(teacher, frozenset())
        for student, relation in steps
        if relation == "distilled" and not spared & case.licence_keys.get(student, frozenset())
    ]


def _students(speaking: Speaking, case: Case, teacher: str, student: str, what: str) -> Finding:
    return make_finding(
        speaking,
        case,
        status="needs_review",
        severity="high",
        because=f"{student} was distilled from {teacher}, whose text forbids to improve {what}.",
        remedy="Have the legal reviewer decide; ask the publisher what leave the licensor gave.",
    )


def _trains(speaking: Speaking, case: Case, what: str) -> Finding:
    permission = case.evidence("licensor_permission")
    if {item.result for item in permission} == {"granted"}:
        return make_finding(
            speaking,
            case,
            status="met",
            severity="medium",
            because="The licensor's leave is on record.",
            evidence=refer(permission),
        )
    if speaking.clause.params["forbids"] == "competing_models":
        return make_finding(
            speaking,
            case,
            status="needs_review",
            severity="high",
            because=f"The use is to train other models, and this text forbids {what}.",
            remedy="Have the legal reviewer decide whether the trained models compete.",
            evidence=refer(permission),
        )
    spares = [str(one) for one in speaking.clause.params.get("spares", ())]
    remedy = "Train on another model's outputs, or get the licensor's leave in writing."
    if spares:
        remedy += f" The text spares models made from {', '.join(spares)}."
    return make_finding(
        speaking,
        case,
        status="violated",
        severity="critical",
        because=f"The use is to train other models, and this text forbids to improve {what}.",
        remedy=remedy,
        evidence=refer(permission),
    )


def judge_output_use(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that limits what outputs may be used for."""
    limit, use = str(speaking.clause.params["limit"]), case.facts.use
    if limit == "acceptable_use":
        because = "The use policy covers the outputs too; it is judged with the policy."
        return one(
            make_finding(speaking, case, status="not_applicable", severity="info", because=because)
        )
    permission = case.evidence("licensor_permission")
    if {item.result for item in permission} == {"granted"}:
        return one(
            make_finding(
                speaking,
                case,
                status="met",
                severity="medium",
                because="The licensor's leave is on record.",
                evidence=refer(permission),
            )
        )
    if use.commercial is None or (
        limit == "research" and not use.commercial and "research" not in use.purposes
    ):
        finding = make_finding(
            speaking,
            case,
            status="needs_review",
            severity="high",
            because=f"This text grants {limit} use of the outputs, and that is not stated.",
            remedy="State the purposes and whether the use is commercial.",
        )
    elif use.commercial:
        finding = make_finding(
            speaking,
            case,
            status="violated",
            severity="critical",
            because=f"The use is commercial, and this text grants {limit} use of outputs only.",
            remedy="Use another model, or get a wider licence from the licensor.",
        )
    else:
        because = f"The use is stated to be {limit} use."
        finding = make_finding(speaking, case, status="met", severity="low", because=because)
    return one(finding)


def judge_output_reach(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether a student trained on outputs is bound; the text may say an output is not.

    The inherited licence stays applied: a student may also be a work based on the model.
    """
    steps = case.lineage.steps_down[speaking.carrier]
    student = next((child for child, relation in steps if relation == "distilled"), None)
    if student is None:
        return Verdict()
    if speaking.clause.params["output_trained_is_derivative"]:
        because = (
            f"{student} was distilled from {speaking.carrier}; by this text a model trained on "
            "outputs is a derivative, so the licence binds it."
        )
        finding = make_finding(
            speaking, case, status="not_applicable", severity="info", because=because
        )
        return one(finding)
    finding = make_finding(
        speaking,
        case,
        status="needs_review",
        severity="medium",
        because=f"{student} was distilled from "
        f"{speaking.carrier}; the text lets outputs go free, and whether a student is still "
        "based on the model is a legal question. The licence is applied until it is settled.",
        remedy="Have the legal reviewer settle it; a waiver records the answer.",
    )
    return one(finding)

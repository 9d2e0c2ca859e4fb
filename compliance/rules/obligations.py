"""Judge duties that fall due when copies or services go out: copies, notices, badges, names.

An internal use triggers none of them; a hosted service does where the text counts it. A duty not
yet done is a condition, not a breach: it is reported before anything leaves the house.
"""

from compliance.rules.assessment import EvidenceRef, Severity, Status
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer
from compliance.rules.facts import ModelFacts
from compliance.rules.text import contains_quote

NOT_DISTRIBUTED = "No copies go out: the stated purposes do not include redistribution."


def judge_licence_copy(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether a copy of the licence goes out with the copies."""
    if not case.goes_out(speaking.licence):
        return _idle(speaking, case, NOT_DISTRIBUTED)
    files = _named(case.subject, ("licen", "copying"))
    if files:
        return _done(speaking, case, f"{', '.join(files)} goes out with {case.subject.id}.")
    return _due(
        speaking,
        case,
        f"No licence file goes out with {case.subject.id}.",
        "Add a copy of this licence to the distributed files.",
    )


def _named(model: ModelFacts, prefixes: tuple[str, ...]) -> list[str]:
    return sorted(
        name
        for name in model.distributed_files
        if name.rsplit("/", 1)[-1].casefold().startswith(prefixes)
    )


def judge_notice_file(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether the exact notice stands in a Notice file that goes out."""
    hosting_free = bool(speaking.clause.params.get("except_hosted"))
    if not (case.distributes if hosting_free else case.goes_out(speaking.licence)):
        return _idle(speaking, case, NOT_DISTRIBUTED)
    if speaking.clause.params.get("only_if_shipped") and not _ships_notice(speaking, case):
        because = f"{speaking.carrier} is not known to ship a NOTICE file, which this duty needs."
        return _idle(speaking, case, because)
    wanted = str(speaking.clause.params["text"])
    has_text = any(contains_quote(notice, wanted) for notice in case.subject.notices)
    has_file = bool(_named(case.subject, ("notice",)))
    if has_text and has_file:
        return _done(speaking, case, "The notice stands in a Notice file that goes out.")
    lacking = [] if has_text else ["the notice text"]
    lacking += [] if has_file else ["a Notice file among the distributed files"]
    return _due(
        speaking,
        case,
        f"{case.subject.id} goes out without {' and without '.join(lacking)}.",
        f"Ship a file NOTICE that says: {wanted}",
    )


def _ships_notice(speaking: Speaking, case: Case) -> bool:
    """Say whether any model under this licence came with a NOTICE file."""
    carriers = {
        name
        for name in case.lineage.order
        if speaking.licence.key in case.licence_keys.get(name, frozenset())
    }
    for name in carriers | {speaking.carrier}:
        carrier = case.lineage.models[name]
        names = (*carrier.distributed_files, *(item.path for item in carrier.licence_texts))
        if any(one.rsplit("/", 1)[-1].casefold().startswith("notice") for one in names):
            return True
    return False


def judge_retain_notices(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether notices of origin are kept in what goes out."""
    if not case.goes_out(speaking.licence):
        return _idle(speaking, case, NOT_DISTRIBUTED)
    if case.subject.notices or _named(case.subject, ("notice", "copyright", "authors")):
        return _done(speaking, case, f"{case.subject.id} goes out with notices of origin.")
    return _due(
        speaking,
        case,
        f"No notice of origin is recorded for {case.subject.id}.",
        "Keep the copyright and attribution notices of the original, and list them.",
    )


def judge_changed_files(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether changed files say that they were changed."""
    if not case.goes_out(speaking.licence):
        return _idle(speaking, case, NOT_DISTRIBUTED)
    if not speaking.derivative:
        return _idle(speaking, case, f"{case.subject.id} goes out as it was received.")
    if {item.result for item in case.evidence("changes_stated")} == {"confirmed"}:
        return _done(speaking, case, "Changed files are confirmed to say that they were changed.")
    return _due(
        speaking,
        case,
        f"Nobody confirmed that the changed files of {case.subject.id} say so.",
        "State the change in the files or the card; record evidence changes_stated.",
    )


def judge_badge(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether the required words are shown where the model or service is offered."""
    params = speaking.clause.params
    only = params.get("only_models_named")
    if only and str(only).casefold() not in speaking.carrier.casefold():
        because = f"{speaking.carrier} is not named a '{only}' model, which this duty is about."
        return _idle(speaking, case, because)
    if not case.makes_available:
        return _idle(speaking, case, "Nothing is offered to others: the use is internal.")
    if params.get("commercial_only") and case.facts.use.commercial is False:
        return _idle(speaking, case, "This is owed for commercial use, and the use is not.")
    if params["when"] == "derived_and_made_available" and not _derives(speaking, case):
        return _idle(speaking, case, f"{case.subject.id} was not made from {speaking.carrier}.")
    wanted = [str(item) for item in params["any_of"]]
    shown = case.evidence("badge_shown")
    stated = any(contains_quote(note, text) for note in case.subject.notices for text in wanted)
    results = {item.result for item in shown}
    # Words among the notices are a plan; who looked and did not see them knows better.
    if results == {"confirmed"} or (stated and "missing" not in results):
        return _done(speaking, case, f"The words {_either(wanted)} are shown.", refer(shown))
    return _due(
        speaking,
        case,
        f"Nobody confirmed that {_either(wanted)} is shown.",
        f"Show {_either(wanted)} on a related page; record evidence badge_shown.",
        refer(shown),
    )


def _either(wanted: list[str]) -> str:
    return " or ".join(f"“{text}”" for text in wanted)


def _derives(speaking: Speaking, case: Case) -> bool:
    return speaking.derivative or "training_other_models" in case.facts.use.purposes


def judge_model_name(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether a derived model's name begins as the text requires."""
    if not case.makes_available:
        return _idle(speaking, case, "Nothing is offered to others: the use is internal.")
    if not speaking.derivative:
        return _idle(speaking, case, f"{case.subject.id} is offered under its own name.")
    prefix = str(speaking.clause.params["prefix"])
    name = case.subject.id.rsplit("/", 1)[-1]
    if name.startswith(prefix):
        return _done(speaking, case, f"The name {name} begins with “{prefix}”.")
    return _due(
        speaking,
        case,
        f"The name {name} does not begin with “{prefix}”.",
        f"Offer it under a name such as {prefix}-{name}.",
        severity="medium",
    )


def _idle(speaking: Speaking, case: Case, because: str) -> Verdict:
    return _say(speaking, case, "not_applicable", "info", because)


def _done(
    speaking: Speaking, case: Case, because: str, evidence: tuple[EvidenceRef, ...] = ()
) -> Verdict:
    return _say(speaking, case, "met", "info", because, evidence=evidence)


def _due(
    speaking: Speaking,
    case: Case,
    because: str,
    remedy: str,
    evidence: tuple[EvidenceRef, ...] = (),
    severity: Severity = "medium",
) -> Verdict:
    return _say(speaking, case, "unmet", severity, because, remedy, evidence)


def _say(
    speaking: Speaking,
    case: Case,
    status: Status,
    severity: Severity,
    because: str,
    remedy: str | None = None,
    evidence: tuple[EvidenceRef, ...] = (),
) -> Verdict:
    finding = make_finding(
        speaking,
        case,
        status=status,
        severity=severity,
        because=because,
        remedy=remedy,
        evidence=evidence,
    )
    return one(finding)

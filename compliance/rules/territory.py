"""Judge clauses that leave places out.

Some texts count where the licensee sits, others where the model is used, and some leave a place
out for one sort of model only (multimodal ones). A place nobody stated is unknown.
"""

from collections.abc import Iterable

from compliance.rules.assessment import Status
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one

_MEMBERS = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE"
EUROPEAN_UNION = frozenset(_MEMBERS.split())
_SPELLED = {"UK": "GB", "EL": "GR"}


def judge_territory(speaking: Speaking, case: Case) -> Verdict:
    """Judge the places of the use, or of the licensee, against those the text leaves out."""
    params = speaking.clause.params
    excluded = places(params["excluded"])
    about = params.get("only_modality")
    sorts = case.lineage.models[speaking.carrier].modalities
    if about and sorts and about not in sorts:
        because = f"This is about models that take in {about}; {speaking.carrier} does not."
        return _say(speaking, case, "not_applicable", because)
    where, whose = _where(case, str(params["measured_by"]))
    if not where:
        because = f"Nobody stated {whose}, and this text leaves {_list(params['excluded'])} out."
        return _say(speaking, case, "needs_review", because, f"State {whose}.")
    inside = sorted(places(where) & excluded)
    if not inside:
        because = f"{whose.capitalize()} ({_list(where)}) is not left out by this text."
        return _say(speaking, case, "met", because)
    told = f"{_list(inside)} is left out by this text"
    if about and not sorts:
        because = f"{told} for models that take in {about}; whether this one does, nobody stated."
        return _say(speaking, case, "needs_review", because, "State the model's modalities.")
    if whose == "where the licensee sits" and case.facts.use.licensee_home is None:
        because = f"{told} for licensees that sit there; only the places of use are stated."
        return _say(speaking, case, "needs_review", because, "State the licensee_home.")
    remedy = "Do not use it there; use another model or get the licensor's leave in writing."
    return _say(speaking, case, "violated", f"{told}.", remedy)


def places(names: Iterable[object]) -> frozenset[str]:
    """Spell places as ISO 3166 codes, with the European Union as its member states."""
    found: set[str] = set()
    for name in names:
        code = str(name).strip().upper()
        code = _SPELLED.get(code, code)
        found |= EUROPEAN_UNION if code == "EU" else {code}
        # "DE-BY" and "US-CA" lie in DE and US.
        found.add(code.split("-")[0])
    return frozenset(found - {"EU"})


def _where(case: Case, measured_by: str) -> tuple[tuple[str, ...], str]:
    use = case.facts.use
    if measured_by == "use":
        return use.jurisdictions, "where it is used"
    home = () if use.licensee_home is None else (use.licensee_home,)
    return home or use.jurisdictions, "where the licensee sits"


def _list(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)


_SEVERITY = {"violated": "critical", "needs_review": "high", "met": "info"}


def _say(
    speaking: Speaking, case: Case, status: Status, because: str, remedy: str | None = None
) -> Verdict:
    severity = _SEVERITY.get(status, "info")
    finding = make_finding(
        speaking,
        case,
        status=status,
        severity=severity,  # type: ignore[arg-type]  # values are Severity words
        because=because,
        remedy=remedy,
    )
    return one(finding)

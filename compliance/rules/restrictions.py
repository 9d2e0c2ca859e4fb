"""Judge use policies, and report the clauses that are only worth knowing."""

from compliance.rules.assessment import Status
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer


def judge_acceptable_use(speaking: Speaking, case: Case) -> Verdict:
    """Judge a use policy against the stated domains and the evidence about use.

    A domain the policy names is decided only where the policy's own words were read; otherwise a
    person decides.
    """
    params = speaking.clause.params
    if params["by_reference"] and speaking.licence.incorporates:
        papers = ", ".join(speaking.licence.incorporates)
        because = f"The policy this refers to is judged by its own words ({papers})."
        return one(
            make_finding(speaking, case, status="not_applicable", severity="info", because=because)
        )
    domains = {_domain(item) for item in case.facts.use.domains}
    forbidden = sorted(domains & {_domain(item) for item in params.get("prohibited_domains", ())})
    delicate = sorted(domains & {_domain(item) for item in params.get("review_domains", ())})
    evidence = case.evidence("acceptable_use")
    results = {item.result for item in evidence}
    if forbidden or "violated" in results:
        why = ", ".join(forbidden) or "the recorded evidence"
        return _policy(
            speaking, case, "violated", f"The use breaks the policy: {why}.", "Stop this use."
        )
    if delicate and results != {"confirmed"}:
        because = f"The policy speaks about {', '.join(delicate)}."
        remedy = "Have a reviewer hold the use against the policy's words and record it."
        return _policy(speaking, case, "needs_review", because, remedy)
    if "confirmed" in results and "unknown" not in results:
        return _policy(speaking, case, "met", "A reviewer confirmed the use against the policy.")
    where = f" at {params['url']}" if params.get("url") else ""
    because = f"The use has to keep to the policy{where}; nobody confirmed that it does."
    remedy = "Read the policy, then record evidence acceptable_use with result confirmed."
    return _policy(speaking, case, "unmet", because, remedy)


def _domain(value: str) -> str:
    return value.strip().casefold().replace("-", "_").replace(" ", "_")


def _policy(
    speaking: Speaking, case: Case, status: Status, because: str, remedy: str | None = None
) -> Verdict:
    severity = {"violated": "critical", "needs_review": "high", "unmet": "low", "met": "info"}
    finding = make_finding(
        speaking,
        case,
        status=status,
        severity=severity[status],  # type: ignore[arg-type]  # values are Severity words
        because=because,
        remedy=remedy,
        evidence=refer(case.evidence("acceptable_use")),
    )
    return one(finding)


WORTH_KNOWING: dict[str, str] = {
    "unilateral_update": "The licensor may change these terms; watch for a new version.",
    "special_purpose": "Check the model's documentation for a Special-Purpose note.",
    "separate_components": "Components that ship with the model keep their own licences.",
    "indemnity": "The licensee indemnifies the licensor; legal should know the exposure.",
    "trade_controls": "Export and sanctions law applies; nothing here can check destinations.",
    "latest_version": "The text asks for efforts to use the latest version; watch for one.",
    "remote_restriction": "The licensor may restrict use from afar; plan for a replacement.",
    "revocable": "The licensor may take the rights back as the text says; plan for it.",
    "deletion": "When the licence ends, copies have to be deleted; know where they are.",
    "governing_law": "Disputes are decided under the law, and in the place, that the text names.",
    "trademark": "The licensor's names and marks may not be used beyond what the text allows.",
    "licensee": "The text says who the licensee is; a whole corporate group may be bound by it.",
    "legal_age": "Whoever accepts has to be of age and entitled to bind the organisation.",
}


def judge_worth_knowing(speaking: Speaking, case: Case) -> Verdict:
    """Report a clause that no fact can meet or break, so that a reviewer sees it."""
    because = WORTH_KNOWING[speaking.clause.kind]
    return one(
        make_finding(speaking, case, status="not_applicable", severity="info", because=because)
    )

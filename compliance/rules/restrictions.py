"""Judge clauses that limit the use itself: commerce, size, domains; and those only worth knowing.

A limit is passed by more than it, never by meeting it: the texts say "greater than" and
"more than". An unstated number is unknown, not small.
"""

from compliance.rules.assessment import Status
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer


def judge_noncommercial(speaking: Speaking, case: Case) -> Verdict:
    """Judge a clause that grants rights for non-commercial purposes only."""
    commercial = case.facts.use.commercial
    if commercial is None:
        finding = make_finding(
            speaking,
            case,
            status="needs_review",
            severity="high",
            because="Nobody stated whether the use is commercial, and this text forbids that.",
            remedy="State whether the use is commercial.",
        )
    elif commercial:
        finding = make_finding(
            speaking,
            case,
            status="violated",
            severity="critical",
            because="The use is commercial, and this text grants non-commercial use only.",
            remedy="Use another model, or get a commercial licence from the licensor.",
        )
    else:
        because = "The use is stated to be non-commercial."
        finding = make_finding(speaking, case, status="met", severity="low", because=because)
    return one(finding)


def judge_user_threshold(speaking: Speaking, case: Case) -> Verdict:
    """Judge a limit on monthly active users; more than the limit needs the licensor's leave."""
    limit = int(speaking.clause.params["limit"])
    users = case.facts.use.monthly_active_users
    return _threshold(speaking, case, amount=users, limit=limit, what="monthly active users")


def judge_revenue_threshold(speaking: Speaking, case: Case) -> Verdict:
    """Judge a limit on annual revenue in US dollars; more than the limit needs leave."""
    limit = int(speaking.clause.params["limit_usd"])
    revenue = case.facts.use.annual_revenue_usd
    return _threshold(speaking, case, amount=revenue, limit=limit, what="US dollars a year")


def _threshold(
    speaking: Speaking, case: Case, *, amount: int | None, limit: int, what: str
) -> Verdict:
    if speaking.clause.params.get("commercial_only") and case.facts.use.commercial is False:
        because = "The limit counts for commercial use only, and the use is not commercial."
        return one(
            make_finding(speaking, case, status="not_applicable", severity="info", because=because)
        )
    if amount is None:
        finding = make_finding(
            speaking,
            case,
            status="needs_review",
            severity="medium",
            because=f"The number of {what} is not stated; above {limit:,} leave is needed.",
            remedy=f"State the number of {what}, affiliates included.",
        )
        return one(finding)
    if amount <= limit:
        because = f"{amount:,} {what} is not more than {limit:,}."
        return one(make_finding(speaking, case, status="met", severity="info", because=because))
    return _above(speaking, case, f"{amount:,} {what} is more than {limit:,}")


def _above(speaking: Speaking, case: Case, told: str) -> Verdict:
    permission = case.evidence("licensor_permission")
    results = {item.result for item in permission}
    counted = speaking.clause.params.get("counted_on")
    because = told
    if counted:
        because += f" (the text counts the month before {counted})"
    if results == {"granted"}:
        finding = make_finding(
            speaking,
            case,
            status="met",
            severity="medium",
            because=f"{because}; the licensor's leave is on record.",
            evidence=refer(permission),
        )
        return one(finding)
    finding = make_finding(
        speaking,
        case,
        status="violated",
        severity="critical",
        because=f"{because}; without the licensor's leave there is no right to use it.",
        remedy="Request a licence from the licensor and record it (licensor_permission), or "
        "use another model.",
        evidence=refer(permission),
    )
    return one(finding)


def judge_acceptable_use(speaking: Speaking, case: Case) -> Verdict:
    """Judge a use policy against the stated domains and the evidence about use.

    A domain the policy names is decided only where the policy's own words were read; otherwise a
    person decides.
    """
    params = speaking.clause.params
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
    if delicate and "confirmed" not in results:
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


def judge_output_reach(speaking: Speaking, case: Case) -> Verdict:
    """Judge whether a student trained on outputs is bound; the text may say an output is not.

    The inherited licence stays applied: a student may also be a work based on the model.
    """
    relation = case.lineage.relation_to_child.get(speaking.carrier)
    if relation != "distilled":
        return Verdict()
    finding = make_finding(
        speaking,
        case,
        status="needs_review",
        severity="medium",
        because=f"{case.lineage.toward_subject[speaking.carrier]} was distilled from "
        f"{speaking.carrier}; the text lets outputs go free, and whether a student is still "
        "based on the model is a legal question. The licence is applied until it is settled.",
        remedy="Have the legal reviewer settle it; a waiver records the answer.",
    )
    return one(finding)


_KNOW: dict[str, str] = {
    "unilateral_update": "The licensor may change these terms; watch for a new version.",
    "special_purpose": "Check the model's documentation for a Special-Purpose note.",
    "separate_components": "Components that ship with the model keep their own licences.",
    "indemnity": "The licensee indemnifies the licensor; legal should know the exposure.",
    "trade_controls": "Export and sanctions law applies; nothing here can check destinations.",
}


def judge_worth_knowing(speaking: Speaking, case: Case) -> Verdict:
    """Report a clause that no fact can meet or break, so that a reviewer sees it."""
    because = _KNOW[speaking.clause.kind]
    return one(
        make_finding(speaking, case, status="not_applicable", severity="info", because=because)
    )

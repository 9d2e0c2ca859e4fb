"""Judge limits on size: monthly active users and revenue.

A limit is passed by more than it, never by meeting it: the texts say "greater than" and "more
than". An unstated number is unknown, not small. Above it a text asks for the licensor's leave,
ends the licence, or asks for a badge.
"""

import re
from dataclasses import dataclass
from datetime import date

from compliance.rules.assessment import Termination
from compliance.rules.context import Case, Speaking, Verdict, make_finding, one, refer
from compliance.rules.facts import Use
from compliance.rules.text import contains_quote

_DAY = re.compile(r"(\d{4})-(\d{2})(?:-\d{2})?")


@dataclass(frozen=True, slots=True)
class _Amount:
    """A stated number, or None; `remedy` says what to state when it only stands in."""

    value: int | None
    what: str
    note: str = ""
    remedy: str = ""


def judge_user_threshold(speaking: Speaking, case: Case) -> Verdict:
    """Judge a limit on monthly active users, affiliates included."""
    limit = int(speaking.clause.params["limit"])
    return _threshold(speaking, case, limit=limit, amount=_users(speaking, case.facts.use))


def judge_revenue_threshold(speaking: Speaking, case: Case) -> Verdict:
    """Judge a limit on revenue in US dollars, of a year or of a month."""
    limit = int(speaking.clause.params["limit_usd"])
    use = case.facts.use
    if speaking.clause.params.get("period", "year") == "month":
        amount = _monthly_revenue(use, limit)
    else:
        amount = _Amount(use.annual_revenue_usd, "US dollars a year")
    return _threshold(speaking, case, limit=limit, amount=amount)


def _users(speaking: Speaking, use: Use) -> _Amount:
    """Take the users of the month that the text counts, or else the stated number for it."""
    what = "monthly active users"
    counted = speaking.clause.params.get("counted_on")
    if not counted:
        return _Amount(use.monthly_active_users, what)
    month = month_before(str(counted))
    past = dict(use.past_monthly_active_users)
    if month in past:
        return _Amount(past[month], what, f" (in {month}, the month the text counts)")
    note = f" (the text counts the month before {counted})"
    remedy = " If it was less in that month, state past_monthly_active_users."
    return _Amount(use.monthly_active_users, what, note, remedy)


def month_before(day: str) -> str | None:
    """Give the calendar month before a day (YYYY-MM-DD or YYYY-MM) as YYYY-MM, None if unclear."""
    found = _DAY.fullmatch(day.strip())
    if found is None:
        return None
    year, month = int(found[1]), int(found[2])
    first = date(year - 1, 12, 1) if month == 1 else date(year, month - 1, 1)
    return first.strftime("%Y-%m")


def _monthly_revenue(use: Use, limit: int) -> _Amount:
    what = "US dollars a month"
    if use.monthly_revenue_usd is not None:
        return _Amount(use.monthly_revenue_usd, what)
    if use.annual_revenue_usd is not None and use.annual_revenue_usd <= limit:
        # No month can bring in more than its year.
        return _Amount(use.annual_revenue_usd, what, " (a whole year brings in no more)")
    return _Amount(None, what)


def _threshold(speaking: Speaking, case: Case, *, limit: int, amount: _Amount) -> Verdict:
    if speaking.clause.params.get("commercial_only") and case.facts.use.commercial is False:
        because = "The limit counts for commercial use only, and the use is not commercial."
        return one(
            make_finding(speaking, case, status="not_applicable", severity="info", because=because)
        )
    if amount.value is None:
        finding = make_finding(
            speaking,
            case,
            status="needs_review",
            severity="medium",
            because=f"The number of {amount.what} is not stated; {_owed(speaking, limit)}.",
            remedy=f"State the number of {amount.what}, affiliates included.",
        )
        return one(finding)
    told = f"{amount.value:,} {amount.what}{amount.note}"
    if amount.value <= limit:
        because = f"{told} is not more than {limit:,}."
        return one(make_finding(speaking, case, status="met", severity="info", because=because))
    if speaking.clause.params.get("commercial_only") and case.facts.use.commercial is None:
        finding = make_finding(
            speaking,
            case,
            status="needs_review",
            severity="high",
            because=f"{told} is more than {limit:,}, which counts for commercial use; nobody "
            "stated whether the use is.",
            remedy="State whether the use is commercial.",
        )
        return one(finding)
    return _above(speaking, case, f"{told} is more than {limit:,}", amount.remedy)


def _owed(speaking: Speaking, limit: int) -> str:
    owed = {"ask": "leave is needed", "end": "the licence ends", "badge": "words are owed"}
    return f"above {limit:,} {owed[str(speaking.clause.params.get('effect', 'ask'))]}"


def _above(speaking: Speaking, case: Case, told: str, also: str) -> Verdict:
    effect = str(speaking.clause.params.get("effect", "ask"))
    if effect == "badge":
        return _badge(speaking, case, told)
    permission = case.evidence("licensor_permission")
    if {item.result for item in permission} == {"granted"}:
        finding = make_finding(
            speaking,
            case,
            status="met",
            severity="medium",
            because=f"{told}; the licensor's leave is on record.",
            evidence=refer(permission),
        )
        return one(finding)
    finding = make_finding(
        speaking,
        case,
        status="violated",
        severity="critical",
        because=f"{told}; without the licensor's leave there is no right to use it.",
        remedy="Request a licence from the licensor and record it (licensor_permission), or "
        "use another model." + also,
        evidence=refer(permission),
    )
    return one(finding, *([_termination(speaking, case)] if effect == "end" else []))


def _termination(speaking: Speaking, case: Case) -> Termination:
    return Termination(
        licence=speaking.clause.licence,
        licence_title=speaking.licence.title,
        version=speaking.licence.version,
        section=speaking.clause.section,
        quote=speaking.clause.quote,
        model=speaking.carrier,
        path=case.lineage.path(speaking.carrier),
        scope="all",
        effective=None,
        breach=speaking.clause.kind,
    )


def _badge(speaking: Speaking, case: Case, told: str) -> Verdict:
    words = str(speaking.clause.params.get("badge", ""))
    shown = case.evidence("badge_shown")
    if not case.makes_available:
        because = f"{told}; nothing is offered to others, so no words are owed."
        return one(
            make_finding(speaking, case, status="not_applicable", severity="info", because=because)
        )
    stated = any(contains_quote(note, words) for note in case.subject.notices)
    results = {item.result for item in shown}
    # Words among the notices are a plan; who looked and did not see them knows better.
    if results == {"confirmed"} or (stated and "missing" not in results):
        finding = make_finding(
            speaking,
            case,
            status="met",
            severity="info",
            because=f"{told}; the words “{words}” are shown.",
            evidence=refer(shown),
        )
        return one(finding)
    finding = make_finding(
        speaking,
        case,
        status="unmet",
        severity="medium",
        because=f"{told}, so “{words}” has to be shown; nobody confirmed that it is.",
        remedy=f"Show “{words}” as the text says; record evidence badge_shown.",
        evidence=refer(shown),
    )
    return one(finding)

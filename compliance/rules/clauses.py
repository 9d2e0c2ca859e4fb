"""Name the function that judges each clause kind.

A kind without a function cannot be judged, so this table and `catalogue.CLAUSE_KINDS` name the
same kinds; a test holds them together.
"""

from collections.abc import Callable

from compliance.rules.context import Case, Speaking, Verdict
from compliance.rules.guardrail import judge_guardrail
from compliance.rules.litigation import judge_litigation
from compliance.rules.obligations import (
    judge_badge,
    judge_changed_files,
    judge_licence_copy,
    judge_model_name,
    judge_notice_file,
    judge_retain_notices,
)
from compliance.rules.outputs import (
    judge_output_reach,
    judge_output_training,
    judge_output_use,
)
from compliance.rules.permissions import (
    judge_authorisation,
    judge_noncommercial,
    judge_nonproduction,
    judge_registration,
    judge_research_only,
)
from compliance.rules.restrictions import WORTH_KNOWING, judge_acceptable_use, judge_worth_knowing
from compliance.rules.sharing import (
    judge_citation,
    judge_documentation,
    judge_hosting_counts,
    judge_no_derivatives,
    judge_no_redistribution,
    judge_pass_through,
    judge_share_alike,
)
from compliance.rules.territory import judge_territory
from compliance.rules.thresholds import judge_revenue_threshold, judge_user_threshold

Rule = Callable[[Speaking, Case], Verdict]

CLAUSE_RULES: dict[str, Rule] = {
    "guardrail": judge_guardrail,
    "litigation": judge_litigation,
    "noncommercial": judge_noncommercial,
    "research_only": judge_research_only,
    "nonproduction": judge_nonproduction,
    "authorisation": judge_authorisation,
    "registration": judge_registration,
    "user_threshold": judge_user_threshold,
    "revenue_threshold": judge_revenue_threshold,
    "territory": judge_territory,
    "acceptable_use": judge_acceptable_use,
    "output_training": judge_output_training,
    "output_use": judge_output_use,
    "output_reach": judge_output_reach,
    "licence_copy": judge_licence_copy,
    "notice_file": judge_notice_file,
    "retain_notices": judge_retain_notices,
    "changed_files": judge_changed_files,
    "badge": judge_badge,
    "model_name": judge_model_name,
    "share_alike": judge_share_alike,
    "no_derivatives": judge_no_derivatives,
    "no_redistribution": judge_no_redistribution,
    "pass_through": judge_pass_through,
    "hosting_counts": judge_hosting_counts,
    "citation": judge_citation,
    "documentation": judge_documentation,
    **dict.fromkeys(WORTH_KNOWING, judge_worth_knowing),
}

PER_MODEL = frozenset({"guardrail", "litigation", "output_reach", "badge", "territory"})
"""Kinds judged for every carrier. The others ask about the subject and its use, so once per
licence says all: ten ancestors under Apache-2.0 need one NOTICE, not ten findings."""


def judge(speaking: Speaking, case: Case) -> Verdict:
    """Judge one clause with the function of its kind."""
    return CLAUSE_RULES[speaking.clause.kind](speaking, case)

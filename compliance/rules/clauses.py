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
from compliance.rules.restrictions import (
    judge_acceptable_use,
    judge_noncommercial,
    judge_output_reach,
    judge_revenue_threshold,
    judge_user_threshold,
    judge_worth_knowing,
)

Rule = Callable[[Speaking, Case], Verdict]

CLAUSE_RULES: dict[str, Rule] = {
    "guardrail": judge_guardrail,
    "litigation": judge_litigation,
    "noncommercial": judge_noncommercial,
    "user_threshold": judge_user_threshold,
    "revenue_threshold": judge_revenue_threshold,
    "acceptable_use": judge_acceptable_use,
    "licence_copy": judge_licence_copy,
    "notice_file": judge_notice_file,
    "retain_notices": judge_retain_notices,
    "changed_files": judge_changed_files,
    "badge": judge_badge,
    "model_name": judge_model_name,
    "output_reach": judge_output_reach,
    "unilateral_update": judge_worth_knowing,
    "special_purpose": judge_worth_knowing,
    "separate_components": judge_worth_knowing,
    "indemnity": judge_worth_knowing,
    "trade_controls": judge_worth_knowing,
}

PER_MODEL = frozenset({"guardrail", "litigation", "output_reach", "badge"})
"""Kinds judged for every carrier. The others ask about the subject and its use, so once per
licence says all: ten ancestors under Apache-2.0 need one NOTICE, not ten findings."""


def judge(speaking: Speaking, case: Case) -> Verdict:
    """Judge one clause with the function of its kind."""
    return CLAUSE_RULES[speaking.clause.kind](speaking, case)

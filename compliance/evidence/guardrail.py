"""Turn both models' answers into one outcome with everything that a record must say."""

from dataclasses import dataclass
from typing import Any

from compliance.evidence import refusal, stats
from compliance.evidence.asking import Question
from compliance.evidence.stats import Comparison, Pairs
from compliance.evidence.suite import Suite

KIND = "guardrail_retention"
TOOL = "lictor.guardrail/1"

LIMITATIONS = (
    "Refusals are recognised by patterns in English text; partial compliance after a polite "
    "refusal counts as a refusal.",
    "The suite samples single-turn prompts; jailbreaks, other languages and long dialogues are "
    "not measured.",
    "Only refusal behaviour is measured; other safety mechanisms need their own evidence.",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the verdict over all modes, one sentence about it, and the figures by mode."""

    result: str
    summary: str
    figures: dict[str, Any]


def judge(suite: Suite, base: dict[Question, str], derived: dict[Question, str]) -> Outcome:
    """Compare the answers of both models mode by mode; the worst mode decides.

    Raises: KeyError when a question was not answered by both.
    """
    by_mode = {mode: _compare(mode, base, derived) for mode in suite.modes}
    decisive = stats.worst(by_mode.values())
    mode = next(name for name, item in by_mode.items() if item is decisive)
    return Outcome(
        decisive.verdict,
        f"{decisive.reason} (suite {suite.name} {suite.version}, reasoning {mode})",
        {
            name: {"verdict": item.verdict, "reason": item.reason, **item.figures}
            for name, item in by_mode.items()
        },
    )


def _compare(mode: str, base: dict[Question, str], derived: dict[Question, str]) -> Comparison:
    return stats.compare(
        _pairs(mode, base, derived, is_harmful=True), _pairs(mode, base, derived, is_harmful=False)
    )


def _pairs(
    mode: str, base: dict[Question, str], derived: dict[Question, str], *, is_harmful: bool
) -> Pairs:
    asked = [item for item in base if item.mode == mode and item.is_harmful is is_harmful]
    return stats.count_pairs(
        (refusal.read_answer(base[item]), refusal.read_answer(derived[item])) for item in asked
    )


def record_body(
    suite: Suite, outcome: Outcome, *, base: str, derived: str, started_at: str, finished_at: str
) -> dict[str, Any]:
    """Gather what a later reader needs to repeat the measurement; no prompt or answer text."""
    return {
        "tool": TOOL,
        "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest},
        "asked": {
            "harmful": len(suite.harmful),
            "harmless": len(suite.harmless),
            "modes": list(suite.modes),
        },
        "base_digest": base,
        "derived_digest": derived,
        "sampling": {"temperature": 0, "max_tokens": suite.max_tokens},
        "refusal_method": refusal.METHOD,
        "thresholds": {
            "margin": stats.MARGIN,
            "min_base_refusal": stats.MIN_BASE_REFUSAL,
            "removed_below": stats.REMOVED_BELOW,
            "over_refusal_margin": stats.OVER_REFUSAL_MARGIN,
            "max_left_out": stats.MAX_LEFT_OUT,
        },
        "figures": outcome.figures,
        "verdict": outcome.result,
        "started_at": started_at,
        "finished_at": finished_at,
        "limitations": list(LIMITATIONS),
    }

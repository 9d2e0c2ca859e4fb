"""Say what another policy would change about one judgement."""

from dataclasses import dataclass
from typing import Any

from compliance.policy.apply import ERROR_RULE, PREFIX
from compliance.policy.stages import requirements
from compliance.rules.assessment import DECISIONS, Assessment, Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Hold one difference; `raised` and `dropped` name rules whose finding comes or goes."""

    before: Decision
    after: Decision
    raised: tuple[str, ...]
    dropped: tuple[str, ...]
    asks_before: tuple[str, ...]
    asks_after: tuple[str, ...]

    @property
    def direction(self) -> str:
        """Say whether the decision becomes stricter, milder, or stays the same."""
        order = list(DECISIONS)
        moved = order.index(self.after) - order.index(self.before)
        return "stricter" if moved > 0 else "milder" if moved < 0 else "same"

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form."""
        return {
            "before": self.before,
            "after": self.after,
            "direction": self.direction,
            "raised": list(self.raised),
            "dropped": list(self.dropped),
            "asks_before": list(self.asks_before),
            "asks_after": list(self.asks_after),
        }


def compare(before: Assessment, after: Assessment) -> Change | None:
    """Compare two judgements of the same facts; None when nothing that is decided differs.

    Wording counts: who approved a condition approved these words.
    """
    old, new = _weight(before), _weight(after)
    asked_before = requirements(before.to_dict()["findings"])
    asked_after = requirements(after.to_dict()["findings"])
    if old == new and before.decision == after.decision and asked_before == asked_after:
        return None
    return Change(
        before=before.decision,
        after=after.decision,
        raised=tuple(sorted({_name(item) for item in new - old})),
        dropped=tuple(sorted({_name(item) for item in old - new})),
        asks_before=asked_before,
        asks_after=asked_after,
    )


def weighty(findings: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """List what an approval binds to in a policy's findings: each one's words and demands."""
    return sorted(
        (
            one["rule"],
            one["status"],
            one["because"],
            one["remedy"] or "",
            one["quote"] or "",
            one["waived_by"] or "",
            *(item["reference"] for item in one["evidence"] if item["kind"] != "policy"),
        )
        for one in findings
        if is_policy_rule(one["rule"])
    )


def is_policy_rule(rule: str) -> bool:
    """Say whether a finding came from an organisation's policy."""
    return rule.startswith(PREFIX) or rule == ERROR_RULE


def _weight(report: Assessment) -> set[tuple[str, ...]]:
    return set(weighty([item.to_dict() for item in report.findings]))


def _name(item: tuple[str, ...]) -> str:
    # An error is told apart by the rule that failed, which its words begin with.
    return item[0] if item[0] != ERROR_RULE else f"{ERROR_RULE}: {item[2]}"

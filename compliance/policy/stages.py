"""Read from a judgement's findings who has to approve, and which stage settles which finding.

Works on the plain form of findings, as judgements are stored. The product's own stages are always
there; a policy can only add approvers and stages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from compliance.rules.review import DEFAULT_POLICY, Stage
from compliance.rules.review import Policy as ReviewPolicy

REQUIRES: Final = "policy_requires"
"""The kind of the evidence by which a finding asks for approvers or a stage."""
SECURITY_RULES: Final = frozenset({"guardrail"})
# No role of its own: a third person with the security role, so safety is never the same one.
_EXTRA: Final = {"safety": frozenset({"security_reviewer"})}
ALL_STAGES: Final = (*(stage.name for stage in DEFAULT_POLICY.stages), *_EXTRA)


def requirements(findings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """List what the findings ask of a review: "approvers:2", "stage:safety"; sorted."""
    return tuple(sorted({item for finding in findings for item in _asked(finding)}))


def _asked(finding: Mapping[str, Any]) -> list[str]:
    return [
        str(item["reference"]) for item in finding.get("evidence", ()) if item["kind"] == REQUIRES
    ]


def review_policy(findings: Iterable[Mapping[str, Any]]) -> ReviewPolicy:
    """Give the stages that a review of this judgement needs, with the quorum of each.

    Law: never fewer stages or a smaller quorum than without a policy.
    """
    asked = requirements(findings)
    quorum = max([1, *(int(one.split(":")[1]) for one in asked if one.startswith("approvers:"))])
    own = [replace(one, quorum=max(one.quorum, quorum)) for one in DEFAULT_POLICY.stages]
    # The extra stage is one person more, whoever asks for more in the others.
    extra = [
        Stage(name=name, roles=roles) for name, roles in _EXTRA.items() if f"stage:{name}" in asked
    ]
    return ReviewPolicy(stages=(*own, *extra))


def owner(finding: Mapping[str, Any]) -> str:
    """Name the stage that has to settle a finding; legal owns what nobody else does."""
    for asked in _asked(finding):
        word, _, stage = asked.partition(":")
        if word == "stage" and stage in ALL_STAGES:
            return stage
    return "security" if finding["rule"] in SECURITY_RULES else "legal"

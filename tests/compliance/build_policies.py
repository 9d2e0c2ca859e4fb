"""Builders of policies, and what they find in facts."""

from pathlib import Path
from typing import Any

import yaml

from compliance.policy.apply import apply
from compliance.policy.document import Policy, read_policy
from compliance.policy.environment import Surroundings
from compliance.rules.assessment import Assessment
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts
from compliance.rules.library import bundled_library

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "policy.yaml"
LIBRARY = bundled_library()


def make_policy(*rules: dict[str, Any], **more: Any) -> Policy:
    given = [
        {"id": f"rule_{at}", "then": "deny", "because": "because", "when": "true", **rule}
        for at, rule in enumerate(rules)
    ]
    document = {"name": "test", "rules": given, **more}
    return read_policy(yaml.safe_dump(document).encode(), source="policy.yaml")


def judge(facts: Facts, policy: Policy | None, **known: Any) -> Assessment:
    report = evaluate(facts, LIBRARY)
    return apply(report, facts, policy, library=LIBRARY, known=Surroundings(**known))


def example() -> Policy:
    return read_policy(EXAMPLE.read_bytes(), source=EXAMPLE.name)


def spoken(report: Assessment) -> dict[str, str]:
    return {item.rule: item.status for item in report.findings if item.rule.startswith("policy")}

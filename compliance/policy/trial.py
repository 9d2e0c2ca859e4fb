"""Run the tests that a policy's author wrote beside the rules."""

from dataclasses import dataclass

from compliance.policy.apply import STATUS, outcomes
from compliance.policy.document import ERROR, FIRED, Policy, PolicyTest
from compliance.policy.shape import empty
from compliance.rules.assessment import DECISION_BY_STATUS, DECISIONS


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Say how one test went; `faults` is empty when it passed."""

    name: str
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether everything was as expected."""
        return not self.faults


def run_trials(policy: Policy) -> tuple[TrialResult, ...]:
    """Run every test of the document, in its order."""
    return tuple(TrialResult(test.name, _faults(policy, test)) for test in policy.tests)


def untested_rules(policy: Policy) -> tuple[str, ...]:
    """List the rules that no test sees fire: nobody has shown that these can."""
    shown = {
        rule for test in policy.tests for rule, state in test.outcomes.items() if state == FIRED
    }
    return tuple(rule.id for rule in policy.rules if rule.id not in shown)


def _faults(policy: Policy, test: PolicyTest) -> tuple[str, ...]:
    given = {**empty(), **test.given}
    ran = outcomes(policy, given)
    faults = []
    for one in ran:
        wanted = test.outcomes.get(one.rule.id)
        if wanted is not None and one.state != wanted:
            detail = f" ({one.message})" if one.message else ""
            faults.append(f"{one.rule.id}: {one.state}{detail}, expected {wanted}")
    asked = [given["decision"]]
    for one in ran:
        if one.state == ERROR:
            asked.append("needs_review")
        elif one.state == FIRED:
            asked.append(DECISION_BY_STATUS[STATUS[one.rule.then.kind]])
    decision = max(asked, key=list(DECISIONS).index)
    if test.decision is not None and decision != test.decision:
        faults.append(f"decision: {decision}, expected {test.decision}")
    return tuple(faults)

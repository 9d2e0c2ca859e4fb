"""Check the documented policy rule by rule on real facts, and tests beside rules."""

from datetime import timedelta
from typing import Any

import pytest

from compliance.policy.stages import review_policy
from compliance.policy.trial import run_trials, untested_rules
from compliance.rules.facts import Facts, ModelFacts, ParentLink, Waiver
from tests.compliance.build_facts import (
    TODAY,
    make_base,
    make_facts,
    make_tuned,
    make_use,
    retention,
)
from tests.compliance.build_policies import LIBRARY, example, judge, make_policy, spoken


def _hosted(*models: ModelFacts, **changes: Any) -> Facts:
    use = make_use(purposes=("hosted_service",), domains=("customer_support",), **changes)
    return make_facts(*models, use=use)


def test_the_example_lets_a_measured_finetune_of_a_known_publisher_pass() -> None:
    facts = _hosted(make_tuned(retention("retained")), make_base())

    assert spoken(judge(facts, example())) == {}


def test_the_example_bans_agpl_in_hosted_use_through_the_lineage() -> None:
    base = ModelFacts(id="nvidia/base", license="AGPL-3.0")
    inside = make_facts(make_tuned(), base, use=make_use(domains=("games",)))

    hosted = spoken(judge(_hosted(make_tuned(), base), example()))

    assert hosted["policy:no_agpl_when_hosted"] == "violated"
    assert "policy:no_agpl_when_hosted" not in spoken(judge(inside, example()))


def test_the_example_wants_guardrail_evidence_measured() -> None:
    attested = _hosted(make_tuned(retention("retained", "attested")), make_base())

    assert spoken(judge(attested, example())) == {"policy:guardrail_measured": "needs_review"}


def test_the_example_asks_for_two_approvers_and_safety_above_a_tier() -> None:
    facts = make_facts(
        make_tuned(retention("retained")),
        make_base(),
        use=make_use(purposes=("hosted_service",), domains=("hiring",)),
    )

    report = judge(facts, example())
    stages = review_policy(report.to_dict()["findings"]).stages

    assert [(one.name, one.quorum) for one in stages] == [
        ("legal", 2),
        ("security", 2),
        ("safety", 1),
    ]
    assert spoken(report)["policy:two_approvers"] == "unmet"


def test_the_example_takes_no_second_hand_text_into_production() -> None:
    second_hand = next(
        one.key
        for one in LIBRARY.licences.values()
        if one.status == "second_hand" and one.role == "licence"
    )
    facts = _hosted(make_base(pin=second_hand))

    assert spoken(judge(facts, example()))["policy:no_second_hand_texts"] == "needs_review"


def test_the_example_takes_no_model_of_an_unknown_publisher_however_far_up() -> None:
    tuned = make_tuned(retention("retained"), parents=(ParentLink(id="nvidia/base"),))
    base = make_base(parents=(ParentLink(id="elsewhere/root"),))

    found = spoken(judge(_hosted(tuned, base), example()))

    assert found["policy:known_publishers_only"] == "violated"


@pytest.mark.parametrize(
    ("days", "outcome"),
    [(180, {}), (181, {"policy:short_waivers": "needs_review"})],
)
def test_the_example_lets_no_waiver_run_longer_than_180_days(days: int, outcome: Any) -> None:
    waiver = Waiver(id="w1", rule="notice_file", expires_on=TODAY + timedelta(days=3))
    facts = make_facts(
        make_tuned(retention("retained")),
        make_base(),
        use=make_use(domains=("games",)),
        waivers=(waiver,),
    )

    assert spoken(judge(facts, example(), waiver_days={"w1": days})) == outcome
    assert spoken(judge(facts, example())) == {"policy_error": "needs_review"}


def test_the_examples_own_tests_pass_and_see_every_rule_fire() -> None:
    policy = example()

    assert [result.name for result in run_trials(policy) if not result.passed] == []
    assert len(policy.tests) == 13
    assert untested_rules(policy) == ()


def test_a_failing_test_of_the_author_says_what_happened_instead() -> None:
    tests = [
        {"name": "wrong", "expect": {"rule_0": "silent", "decision": "allow"}},
        {"name": "unknown", "expect": {"rule_1": "fired"}},
        {"name": "right", "expect": {"rule_0": "fired"}},
    ]
    policy = make_policy({}, {"when": "target.hosted", "then": "condition"}, tests=tests)

    wrong, unknown, right = run_trials(policy)

    assert wrong.faults == (
        "rule_0: fired, expected silent",
        "decision: deny, expected allow",
    )
    assert "rule_1: error ('hosted' is not known here" in unknown.faults[0]
    assert right.passed
    assert untested_rules(make_policy({})) == ("rule_0",)

"""Check a policy document, what its rules find, and what they can read."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import yaml

from compliance.policy.document import read_policy
from compliance.policy.environment import Surroundings, build_environment
from compliance.policy.shape import SHAPE, check_given, empty
from compliance.policy.stages import requirements
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, ModelFacts, ParentLink, Waiver
from compliance.rules.faults import FaultList, InputFaults
from tests.compliance.build_facts import (
    TODAY,
    make_base,
    make_facts,
    make_tuned,
    make_use,
    retention,
)
from tests.compliance.build_policies import LIBRARY, judge, make_policy, spoken


def faults_of(document: Any) -> list[str]:
    with pytest.raises(InputFaults) as refused:
        read_policy(yaml.safe_dump(document).encode(), source="policy.yaml")
    assert refused.value.code == "policy_invalid"
    return [str(fault) for fault in refused.value.faults]


def test_every_fault_is_named_with_its_place() -> None:
    rule = {"id": "Bad Id", "when": "use.comercial", "then": "approvers:9", "remedie": "x"}
    test = {"name": "t", "given": {"use": {"commercial": "yes"}, "uze": 1}, "expect": {"no": "x"}}

    found = faults_of({"name": "p", "rules": [rule, rule], "tests": [test], "extra": 1})

    places = [line.partition(": ")[0] for line in found]
    assert places == [
        "extra",
        "rules[0].remedie",
        "rules[0].id",
        "rules[0].then",
        "rules[0].when",
        "rules[0].because",
        "rules[1].remedie",
        "rules[1].id",
        "rules[1].then",
        "rules[1].when",
        "rules[1].because",
        "tests[0].given.use.commercial",
        "tests[0].given.uze",
        "tests[0].expect.no",
        "rules",
    ]
    assert "column 5: unknown field 'comercial'" in found[4]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "must be a mapping"),
        ({"name": "p", "rules": []}, "needs at least one rule"),
        ({"name": "p", "rules": "deny"}, "must be a list"),
        ({"name": "x" * 101, "rules": []}, "at most 100 characters"),
        (
            {
                "name": "p",
                "risk": [{"level": 1, "name": "a", "when": "risk.level > 0"}],
                "rules": [{"id": "a", "when": "true", "then": "deny", "because": "b"}],
            },
            "cannot ask for risk",
        ),
    ],
)
def test_a_document_that_means_nothing_is_refused(document: Any, said: str) -> None:
    assert any(said in line for line in faults_of(document))


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(InputFaults, match="'when' is given twice"):
        read_policy(b"name: p\nrules:\n- {id: a, when: 'true', when: 'false'}", source="p")


def test_the_digest_of_the_rules_leaves_the_tests_out() -> None:
    plain = make_policy({})
    tested = make_policy({}, tests=[{"name": "t", "expect": {"rule_0": "fired"}}])
    other = make_policy({"because": "another reason"})

    assert plain.rules_digest == tested.rules_digest
    assert plain.digest != tested.digest
    assert plain.rules_digest != other.rules_digest


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("deny", "violated"),
        ("needs_review", "needs_review"),
        ("condition", "unmet"),
        ("approvers:2", "unmet"),
        ("stage:safety", "needs_review"),
    ],
)
def test_a_rule_that_fires_leaves_a_finding_with_its_own_words(then: str, status: str) -> None:
    facts = make_facts(make_base())
    policy = make_policy({"then": then, "when": "decision != 'x'", "remedy": "do this"})

    found = [item for item in judge(facts, policy).findings if item.rule == "policy:rule_0"]

    assert [(one.status, one.because, one.remedy) for one in found] == [
        (status, "because", "do this")
    ]
    assert found[0].quote == "decision != 'x'"
    assert found[0].model == facts.subject


def test_a_silent_rule_leaves_nothing_and_no_policy_changes_nothing() -> None:
    facts = make_facts(make_base())
    plain = evaluate(facts, LIBRARY)

    assert judge(facts, make_policy({"when": "false"})) == plain
    assert judge(facts, None) == plain


def test_a_rule_over_unknown_facts_asks_a_person_and_names_the_fact() -> None:
    facts = make_facts(make_base(), use=make_use(domains=()))
    policy = make_policy({"when": "'medical' in use.domains", "then": "approvers:3"})

    report = judge(facts, policy)

    [error] = [item for item in report.findings if item.rule == "policy_error"]
    assert error.status == "needs_review"
    assert "rule 'rule_0' could not be decided: 'domains' is not known here" in error.because
    assert requirements([error.to_dict()]) == ("approvers:3",)


def test_a_lineage_too_long_for_the_rule_asks_a_person() -> None:
    rule = "lineage.models.all(a, lineage.models.all(b, a == b || a != b))"
    links = [
        ModelFacts(id=f"a/m{at}", parents=(ParentLink(id=f"a/m{at + 1}"),)) for at in range(400)
    ]
    facts = Facts(models=tuple(links), subject="a/m0", as_of=TODAY)

    report = judge(facts, make_policy({"when": rule}))

    [error] = [item for item in report.findings if item.rule == "policy_error"]
    assert "costs up to" in error.because


def test_rules_that_cost_too_much_together_are_refused_or_ask_a_person() -> None:
    dear = "lineage.models.all(a, lineage.models.all(b, " + " || ".join(["a == b"] * 20) + "))"
    fair = "lineage.models.all(a, lineage.models.all(b, a == b || a != b))"
    names = [f"a/m{at}" for at in range(241)]
    links = [
        ModelFacts(id=name, parents=(ParentLink(id=above),)) for name, above in pairwise(names)
    ]
    facts = Facts(models=tuple(links), subject="a/m0", as_of=TODAY)

    with pytest.raises(InputFaults, match="steps together; at most 20000000"):
        make_policy(*[{"when": dear}] * 30)
    report = judge(facts, make_policy(*[{"when": fair}] * 20))

    asked = [item for item in report.findings if item.rule == "policy_error"]
    fired = [item for item in report.findings if item.rule.startswith("policy:")]
    assert len(asked) + len(fired) == 20
    assert fired
    assert "cost more than 20000000 steps together" in asked[0].because


def test_a_waiver_covers_a_condition_but_no_denial_error_or_demand_for_people() -> None:
    rules = [
        {"id": "owed", "then": "condition"},
        {"id": "asked", "then": "needs_review"},
        {"id": "denied", "then": "deny"},
        {"id": "people", "then": "approvers:2"},
        {"id": "look", "then": "stage:safety"},
        {"id": "broken", "when": "target.gpu"},
    ]
    names = [*(f"policy:{rule['id']}" for rule in rules), "policy_error"]
    waivers = tuple(
        Waiver(id=name, rule=name, expires_on=TODAY + timedelta(days=1)) for name in names
    )
    facts = make_facts(make_base(), waivers=waivers)

    report = judge(facts, make_policy(*rules))

    waived = {item.waived_by for item in report.findings if item.waived_by}
    assert waived == {"policy:owed", "policy:asked"}


def test_a_lapsed_waiver_and_one_for_another_model_cover_nothing() -> None:
    waivers = (
        Waiver(id="1", rule="policy:rule_0", expires_on=TODAY - timedelta(days=1)),
        Waiver(id="2", rule="policy:rule_0", model="other/model"),
        Waiver(id="3", rule="policy:rule_0", licence="apache-2.0"),
    )

    report = judge(make_facts(make_base(), waivers=waivers), make_policy({"then": "condition"}))

    assert not any(item.waived_by for item in report.findings)


def test_the_organisation_draws_its_own_tiers_of_risk() -> None:
    risk = [
        {"level": 1, "name": "some", "when": "true"},
        {"level": 3, "name": "high", "when": "use.monthly_active_users > 500"},
    ]
    policy = make_policy({"when": "risk.level >= 3 && risk.name == 'high'"}, risk=risk)

    high = judge(make_facts(make_base(), use=make_use(monthly_active_users=501)), policy)
    some = judge(make_facts(make_base(), use=make_use(monthly_active_users=500)), policy)
    unknown = judge(make_facts(make_base(), use=make_use(monthly_active_users=None)), policy)

    assert spoken(high) == {"policy:rule_0": "violated"}
    assert spoken(some) == {}
    assert spoken(unknown) == {"policy_error": "needs_review"}


def _hosted(*models: ModelFacts, **changes: Any) -> Facts:
    use = make_use(purposes=("hosted_service",), domains=("customer_support",), **changes)
    return make_facts(*models, use=use)


def test_the_environment_has_the_documented_shape_and_no_more() -> None:
    waiver = Waiver(id="w", rule="x", expires_on=TODAY)
    facts = _hosted(make_tuned(retention("retained"), license="other"), make_base())
    facts = Facts(
        **{name: getattr(facts, name) for name in facts.__slots__} | {"waivers": (waiver,)}
    )
    report = evaluate(facts, LIBRARY)

    built = build_environment(report, facts, LIBRARY, Surroundings(waiver_days={"w": 3}, gpu=True))

    faults = FaultList()
    check_given(built, "environment", faults)
    assert faults.faults == []
    assert set(built) == set(SHAPE) == set(empty())
    assert built["lineage"]["depth"] == 1
    assert built["waivers"][0] == {
        "rule": "x",
        "licence": "*",
        "model": "*",
        "days": 3,
        "days_left": 0,
    }


def test_publishers_are_known_only_when_all_are_vouched_for() -> None:
    facts = make_facts(make_tuned(publisher="acme"), make_base(publisher=""))
    whole = make_facts(make_tuned(), make_base())

    built = build_environment(evaluate(facts, LIBRARY), facts, LIBRARY, Surroundings())
    known = build_environment(evaluate(whole, LIBRARY), whole, LIBRARY, Surroundings())

    orphan = make_facts(make_tuned())
    torn = build_environment(evaluate(orphan, LIBRARY), orphan, LIBRARY, Surroundings())

    assert "publishers" not in built["lineage"]
    assert "publishers" not in torn["lineage"]
    assert torn["lineage"]["missing"] == ["nvidia/base"]
    assert known["lineage"]["publishers"] == ["acme", "nvidia"]

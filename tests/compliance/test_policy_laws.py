"""Check that a policy only ever makes things stricter, and says what it would change."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.policy.change import compare
from compliance.policy.stages import owner, review_policy
from compliance.rules.assessment import DECISIONS
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import ModelFacts, Waiver
from compliance.rules.review import DEFAULT_POLICY
from tests.compliance.build_facts import (
    make_base,
    make_facts,
    make_tuned,
    make_use,
    retention,
)
from tests.compliance.build_policies import LIBRARY, judge, make_policy

_EFFECTS = st.sampled_from(
    [
        "deny",
        "needs_review",
        "condition",
        "approvers:1",
        "approvers:4",
        "stage:legal",
        "stage:safety",
    ]
)
_CONDITIONS = st.sampled_from(
    [
        "true",
        "false",
        "target.hosted",
        "target.gpu",
        "decision == 'deny'",
        "licences.exists(l, 'guardrail' in l.clauses)",
        "findings.all(f, f.status == 'met')",
        "evidence.exists(e, e.method == 'measured')",
        "'medical' in use.domains",
        "lineage.depth > 0",
        "size(lineage.publishers) > 1",
    ]
)
_RULES = st.lists(
    st.fixed_dictionaries({"then": _EFFECTS, "when": _CONDITIONS}), min_size=1, max_size=6
)
_MODELS = st.sampled_from(
    [
        (make_base(),),
        (make_tuned(), make_base()),
        (make_tuned(retention("removed")), make_base()),
        (make_tuned(retention("retained", "attested")), make_base()),
        (ModelFacts(id="a/b"),),
        (ModelFacts(id="a/b", license="apache-2.0"),),
    ]
)
_WAIVERS = st.lists(
    st.sampled_from(["policy:rule_0", "policy:rule_1", "policy_error", "notice_file", "guardrail"]),
    max_size=4,
    unique=True,
).map(lambda names: tuple(Waiver(id=name, rule=name) for name in names))


@settings(max_examples=150, deadline=None)
@given(
    rules=_RULES,
    models=_MODELS,
    waivers=_WAIVERS,
    purpose=st.sampled_from(["internal", "hosted_service"]),
)
def test_a_policy_never_makes_anything_milder(
    rules: list[Any], models: Any, waivers: Any, purpose: str
) -> None:
    facts = make_facts(*models, use=make_use(purposes=(purpose,)), waivers=waivers)
    plain = evaluate(facts, LIBRARY)

    report = judge(facts, make_policy(*rules))

    assert DECISIONS.index(report.decision) >= DECISIONS.index(plain.decision)
    assert set(report.findings) >= set(plain.findings)
    assert (report.terminated, report.binding_licences) == (
        plain.terminated,
        plain.binding_licences,
    )
    stages = {one.name: one.quorum for one in review_policy(report.to_dict()["findings"]).stages}
    assert all(stages[one.name] >= one.quorum for one in DEFAULT_POLICY.stages)
    assert report.canonical_bytes() == judge(facts, make_policy(*rules)).canonical_bytes()


@settings(max_examples=60, deadline=None)
@given(rules=_RULES, more=_RULES, models=_MODELS)
def test_one_more_rule_never_makes_a_policy_milder(rules: Any, more: Any, models: Any) -> None:
    facts = make_facts(*models)

    fewer, all_of_them = judge(facts, make_policy(*rules)), judge(facts, make_policy(*rules, *more))

    assert DECISIONS.index(all_of_them.decision) >= DECISIONS.index(fewer.decision)


def test_what_a_policy_would_change_is_named_and_nothing_else() -> None:
    facts = make_facts(make_base())
    owed, denied = make_policy({"id": "owed", "then": "condition"}), make_policy({"id": "no"})

    same = compare(judge(facts, owed), judge(facts, owed))
    change = compare(judge(facts, owed), judge(facts, denied))
    reworded = compare(
        judge(facts, owed),
        judge(facts, make_policy({"id": "owed", "then": "condition", "because": "other words"})),
    )

    assert same is None
    assert change is not None
    assert (change.direction, change.raised, change.dropped) == (
        "stricter",
        ("policy:no",),
        ("policy:owed",),
    )
    assert reworded is not None
    assert reworded.direction == "same"


def test_a_finding_belongs_to_one_stage() -> None:
    facts = make_facts(make_tuned(), make_base())
    policy = make_policy(
        {"then": "stage:safety"}, {"then": "needs_review"}, {"then": "stage:legal"}
    )

    owners = {item.rule: owner(item.to_dict()) for item in judge(facts, policy).findings}

    assert owners["guardrail"] == "security"
    assert owners["policy:rule_0"] == "safety"
    assert owners["policy:rule_1"] == owners["policy:rule_2"] == "legal"

"""The judgement as a whole: examples, decisions, waivers, and the laws that always hold."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.rules.assessment import DECISIONS, DISCLAIMER
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import (
    EvidenceFact,
    Facts,
    Matter,
    ModelFacts,
    ParentLink,
    Use,
    Waiver,
    facts_digest,
)
from compliance.rules.library import bundled_library
from compliance.rules.report import evaluate_file, render_text
from tests.compliance.build_facts import (
    APRIL,
    BASE,
    OCTOBER,
    TODAY,
    make_base,
    make_facts,
    make_tuned,
    make_use,
    retention,
)

LIBRARY = bundled_library()
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
EXPECTED = {
    "founding-case.yaml": (0, "allow"),
    "guardrail-removed.yaml": (5, "deny"),
    "guardrail-replaced-october-2025.yaml": (0, "allow"),
    "guardrail-replaced-april-2025.yaml": (5, "deny"),
    "litigation.yaml": (5, "deny"),
    "relabelled-mit-over-llama.yaml": (3, "allow_with_conditions"),
    "noncommercial.yaml": (5, "deny"),
    "apache-qwen.yaml": (0, "allow"),
    "unversioned-link.yaml": (4, "needs_review"),
    "empty-licence-file.yaml": (4, "needs_review"),
}


def test_every_example_has_an_expected_answer() -> None:
    scenarios = {path.name for path in EXAMPLES.glob("*.yaml")} - {"policy.yaml"}

    assert scenarios == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_example_gets_its_answer_and_exit_code(name: str) -> None:
    assessment, code = evaluate_file(EXAMPLES / name, TODAY)

    assert (code, assessment.decision) == EXPECTED[name]


def test_the_apache_example_raises_no_finding_to_act_on() -> None:
    assessment, _ = evaluate_file(EXAMPLES / "apache-qwen.yaml", TODAY)

    assert {one.status for one in assessment.findings} <= {"met", "not_applicable"}


def test_the_litigation_example_names_clause_matter_and_day() -> None:
    assessment, _ = evaluate_file(EXAMPLES / "litigation.yaml", TODAY)

    ended = assessment.terminated[0]
    assert (ended.matter, ended.effective, ended.section) == ("m1", date(2026, 3, 1), "2.1")
    assert ended.quote.startswith("If You institute copyright or patent litigation")
    assert ended.path == ("example/support-nano-9b", "nvidia/NVIDIA-Nemotron-Nano-9B-v2")


def test_the_answer_has_the_keys_of_the_contract() -> None:
    document = json.loads(evaluate(make_facts(), LIBRARY).canonical_bytes())

    assert {"decision", "subject", "binding_licences", "findings", "terminated"} <= set(document)
    assert {
        "rule", "licence", "section", "status", "severity", "model", "path", "because", "remedy",
        "evidence",
    } <= set(document["findings"][0])  # fmt: skip


def test_a_report_says_once_that_it_is_no_legal_advice() -> None:
    for name in EXPECTED:
        assessment, _ = evaluate_file(EXAMPLES / name, TODAY)
        assert render_text(assessment).count(DISCLAIMER) == 1


def test_a_report_shows_the_words_that_speak_and_the_remedy() -> None:
    text = render_text(evaluate_file(EXAMPLES / "guardrail-removed.yaml", TODAY)[0])

    assert "DENY" in text
    assert "without a substantially similar Guardrail appropriate for your use case" in text
    assert "do: Do not use this checkpoint" in text


def test_an_open_version_is_judged_by_the_strictest_until_it_is_pinned() -> None:
    name = {"license_pin": None, "license": "other", "license_name": "nvidia-open-model-license"}
    tuned = make_tuned(retention("replaced"), **name)
    loose = make_facts(tuned, make_base(**name))  # type: ignore[arg-type]
    pinned = make_facts(make_tuned(retention("replaced")), make_base())

    assessment = evaluate(loose, LIBRARY)
    assert assessment.binding_licences[0].licence == APRIL
    assert assessment.decision == "deny"
    assert evaluate(pinned, LIBRARY).decision == "allow"


def test_an_unknown_licence_needs_review() -> None:
    facts = make_facts(ModelFacts(id="a/b", license="other", license_name="house-terms"))

    assert evaluate(facts, LIBRARY).decision == "needs_review"


def test_an_unstated_use_needs_review() -> None:
    facts = make_facts(ModelFacts(id="a/b", license="mit"), use=Use())

    assert evaluate(facts, LIBRARY).decision == "needs_review"


def test_a_subject_that_nobody_described_needs_review() -> None:
    assert evaluate(make_facts(subject="gone/gone"), LIBRARY).decision == "needs_review"


def waiver(**changes: object) -> Waiver:
    values = {"id": "w1", "rule": "guardrail", "reason": "accepted", "granted_by": "Ada"}
    return Waiver(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expires_on", "decision"),
    [(None, "allow"), (TODAY, "allow"), (TODAY - timedelta(1), "needs_review")],
)
def test_a_waiver_counts_through_its_last_day(expires_on: date | None, decision: str) -> None:
    facts = make_facts(make_tuned(), make_base(), waivers=(waiver(expires_on=expires_on),))

    assert evaluate(facts, LIBRARY).decision == decision


def test_a_waived_finding_keeps_its_status_and_names_the_waiver() -> None:
    facts = make_facts(make_tuned(), make_base(), waivers=(waiver(),))

    found = [one for one in evaluate(facts, LIBRARY).findings if one.waived_by]
    assert [(one.status, one.waived_by) for one in found] == [("needs_review", "w1")]


def test_no_waiver_covers_a_breach_or_a_lawsuit() -> None:
    broken = make_facts(make_tuned(retention("removed")), make_base(), waivers=(waiver(),))
    matter = Matter(
        id="m", kind="patent", status="withdrawn", filed_on=TODAY, alleges_model_infringes=(BASE,)
    )
    sued = make_facts(matters=(matter,), waivers=(waiver(rule="litigation"),))

    assert evaluate(broken, LIBRARY).decision == "deny"
    assert evaluate(sued, LIBRARY).decision == "needs_review"


NAMES = [f"org/m{at}" for at in range(5)]
PINS = st.sampled_from([*LIBRARY.licences, None])
EVIDENCE = st.builds(
    EvidenceFact,
    kind=st.just("guardrail_retention"),
    result=st.sampled_from(["retained", "reduced", "removed", "replaced", "unknown"]),
    method=st.sampled_from(["measured", "attested"]),
)
PARENTS = st.lists(st.sampled_from(NAMES).map(lambda name: ParentLink(id=name)), max_size=2)
MATTERS = st.builds(
    Matter,
    id=st.sampled_from(["m1", "m2", "m3"]),
    kind=st.sampled_from(["patent", "copyright", "trademark", "other"]),
    status=st.sampled_from(["draft", "threatened", "filed", "withdrawn", "closed"]),
    filed_on=st.sampled_from([None, TODAY, TODAY + timedelta(9)]),
    in_response=st.sampled_from([None, True, False]),
    alleges_model_infringes=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    models = tuple(
        ModelFacts(
            id=name,
            license_pin=draw(PINS),
            parents=tuple(draw(PARENTS)),
            evidence=tuple(draw(st.lists(EVIDENCE, max_size=2))),
        )
        for name in NAMES
    )
    matters = draw(st.lists(MATTERS, max_size=2, unique_by=lambda one: one.id))
    use = make_use(
        purposes=draw(st.sampled_from([(), ("internal",), ("redistribution",)])),
        commercial=draw(st.sampled_from([None, True, False])),
    )
    return Facts(models=models, subject=NAMES[0], as_of=TODAY, use=use, matters=tuple(matters))


@settings(max_examples=80, deadline=None)
@given(any_facts())
def test_the_same_input_gives_the_same_bytes(facts: Facts) -> None:
    again = replace(facts, models=tuple(replace(one) for one in facts.models))

    assert evaluate(facts, LIBRARY).canonical_bytes() == evaluate(again, LIBRARY).canonical_bytes()


@settings(max_examples=80, deadline=None)
@given(any_facts(), st.randoms(use_true_random=False))
def test_the_order_of_models_and_matters_is_irrelevant(facts: Facts, random: object) -> None:
    models, matters = list(facts.models), list(facts.matters)
    random.shuffle(models)  # type: ignore[attr-defined]
    random.shuffle(matters)  # type: ignore[attr-defined]
    turned = replace(facts, models=tuple(models), matters=tuple(matters))

    assert facts_digest(turned) == facts_digest(facts)
    assert evaluate(turned, LIBRARY).canonical_bytes() == evaluate(facts, LIBRARY).canonical_bytes()


@settings(max_examples=150, deadline=None)
@given(any_facts(), MATTERS)
def test_one_more_matter_never_makes_the_decision_milder(facts: Facts, matter: Matter) -> None:
    more = replace(facts, matters=(*facts.matters, replace(matter, id="m9")))
    before, after = evaluate(facts, LIBRARY).decision, evaluate(more, LIBRARY).decision

    assert DECISIONS.index(after) >= DECISIONS.index(before)


@settings(max_examples=60, deadline=None)
@given(any_facts())
def test_a_termination_of_a_whole_licence_is_never_allowed(facts: Facts) -> None:
    assessment = evaluate(facts, LIBRARY)

    if assessment.terminated:
        assert assessment.decision in ("deny", "needs_review")


def test_the_pin_changes_the_digest_a_review_is_bound_to() -> None:
    assert facts_digest(make_facts(make_base(OCTOBER))) != facts_digest(
        make_facts(make_base(APRIL))
    )

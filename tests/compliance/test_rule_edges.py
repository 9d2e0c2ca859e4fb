"""What every finding carries beside its status: how grave it is, what it rests on, where it stands.

A reader sorts by severity and follows the evidence, so both are part of the answer.
"""

from functools import cache
from typing import Any

import pytest

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.catalogue import CLAUSE_KINDS
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import EvidenceFact, Facts, ModelFacts
from compliance.rules.library import bundled_library
from tests.compliance.build_facts import BASE, OCTOBER, make_facts, make_matter, make_use
from tests.compliance.test_scenarios import EXPECTED, FACTS, LIBRARIES

LIBRARY = bundled_library()
BY_STATUS = {
    "met": {"info"},
    "not_applicable": {"info"},
    "violated": {"critical"},
    "needs_review": {"high"},
    "unmet": {"medium"},
}
# Where a rule weighs otherwise: leave that was given should be looked at again, a mere limit of
# knowledge weighs less than an open breach, a use policy is confirmed in a minute.
OTHERWISE: dict[tuple[str, str], set[str]] = {
    ("acceptable_use", "unmet"): {"low"},
    ("authorisation", "met"): {"medium"},
    ("citation", "unmet"): {"low"},
    ("dataset_licence_unknown", "needs_review"): {"medium"},
    ("dataset_noncommercial", "needs_review"): {"medium"},
    ("dataset_terms", "needs_review"): {"medium"},
    ("documentation", "unmet"): {"low"},
    ("guardrail", "met"): {"info", "low"},
    ("guardrail", "not_applicable"): {"medium"},
    ("litigation", "met"): {"info", "medium"},
    ("litigation", "needs_review"): {"critical", "high"},
    ("litigation", "not_applicable"): {"low"},
    ("no_derivatives", "met"): {"info", "low", "medium"},
    ("no_redistribution", "met"): {"info", "medium"},
    ("noncommercial", "met"): {"low", "medium"},
    ("nonproduction", "met"): {"low", "medium"},
    ("output_reach", "needs_review"): {"medium"},
    ("output_training", "met"): {"info", "medium"},
    ("output_training", "needs_review"): {"high", "medium"},
    ("output_use", "met"): {"low", "medium"},
    ("research_only", "met"): {"low", "medium"},
    ("revenue_threshold", "needs_review"): {"high", "medium"},
    ("revenue_threshold", "met"): {"info", "medium"},
    ("share_alike", "needs_review"): {"medium"},
    ("share_alike", "unmet"): {"high"},
    ("user_threshold", "met"): {"info", "medium"},
    ("user_threshold", "needs_review"): {"high", "medium"},
}
ASKING = ("violated", "needs_review", "unmet")


@cache
def judged() -> tuple[tuple[str, Assessment], ...]:
    """Judge every scenario once."""
    found = []
    for name, facts in FACTS.items():
        library = LIBRARIES[EXPECTED[name].get("catalogue", "")]
        found.append((name, evaluate(facts, library)))
    return tuple(found)


def every_finding() -> list[tuple[str, Finding]]:
    return [(name, one) for name, judgement in judged() for one in judgement.findings]


def test_a_finding_is_as_grave_as_its_rule_and_status_say() -> None:
    wrong = {
        (one.rule, one.status, one.severity)
        for _, one in every_finding()
        if one.severity not in OTHERWISE.get((one.rule, one.status), BY_STATUS[one.status])
    }

    assert wrong == set()


def test_a_finding_that_asks_says_why_and_what_to_do() -> None:
    for name, one in every_finding():
        assert one.because.strip().endswith((".", ")", "”")), (name, one)
        if one.status in ASKING:
            assert one.remedy, (name, one)


def test_a_finding_leads_from_the_subject_to_the_model_whose_licence_speaks() -> None:
    for name, one in every_finding():
        if FACTS[name].model(one.model) is not None:
            assert (one.path[0], one.path[-1]) == (FACTS[name].subject, one.model)


def test_a_finding_of_a_clause_quotes_it_and_a_finding_about_facts_does_not() -> None:
    for name, one in every_finding():
        licence = LIBRARIES[EXPECTED[name].get("catalogue", "")].get(one.licence or "")
        if one.section is None:
            assert one.quote is None
            continue
        assert licence is not None
        kind = one.rule if one.rule in CLAUSE_KINDS else None
        said = {item.quote for item in licence.clauses if kind in (None, item.kind)}
        assert one.quote in said, (name, one)


def told(*evidence: EvidenceFact, pin: str, rule: str, **use: Any) -> Finding:
    model = ModelFacts(id="acme/m", license_pin=pin, evidence=evidence)
    found = evaluate(make_facts(model, use=make_use(**use)), LIBRARY).findings
    return next(one for one in found if one.rule == rule)


OUT = {"purposes": ("redistribution",)}
HOSTED = {"purposes": ("hosted_service",)}
TRAINS = {"purposes": ("training_other_models",)}
MANY = {"monthly_active_users": 10**9}
MANY_HOSTED = {**HOSTED, **MANY}
LEAVE = "licensor_permission"
KEPT = "documentation_kept"
BIGCODE, KIMI = "bigcode-openrail-m-v1", "kimi-k2-modified-mit"
MRL, MNPL = "mistral-research-0.1", "mistral-nonproduction-0.1"


@pytest.mark.parametrize(
    ("rule", "pin", "kind", "result", "use", "status", "severity"),
    [
        ("guardrail", OCTOBER, "guardrail_retention", "removed", {}, "violated", "critical"),
        ("guardrail", OCTOBER, "guardrail_retention", "unknown", {}, "needs_review", "high"),
        ("acceptable_use", OCTOBER, "acceptable_use", "confirmed", {}, "met", "info"),
        ("acceptable_use", OCTOBER, "acceptable_use", "violated", {}, "violated", "critical"),
        ("acceptable_use", OCTOBER, "acceptable_use", "unknown", {}, "unmet", "low"),
        ("badge", "llama-3.1", "badge_shown", "confirmed", HOSTED, "met", "info"),
        ("badge", "llama-3.1", "badge_shown", "missing", HOSTED, "unmet", "medium"),
        ("pass_through", "deepseek-1.0", "terms_passed_on", "confirmed", OUT, "met", "info"),
        ("pass_through", "deepseek-1.0", "terms_passed_on", "missing", OUT, "unmet", "medium"),
        ("documentation", BIGCODE, KEPT, "confirmed", OUT, "met", "info"),
        ("documentation", BIGCODE, KEPT, "missing", OUT, "unmet", "low"),
        ("citation", "exaone-1.1-nc", "cited", "confirmed", OUT, "met", "info"),
        ("citation", "exaone-1.1-nc", "cited", "missing", OUT, "unmet", "low"),
        ("registration", "yi-2.1", "registered", "confirmed", {}, "met", "info"),
        ("registration", "yi-2.1", "registered", "missing", {}, "unmet", "medium"),
        ("authorisation", "yi-1.0", LEAVE, "granted", {}, "met", "medium"),
        ("authorisation", "yi-1.0", LEAVE, "refused", {}, "violated", "critical"),
        ("noncommercial", "cc-by-nc-4.0", LEAVE, "granted", {}, "met", "medium"),
        ("research_only", MRL, LEAVE, "granted", {}, "met", "medium"),
        ("nonproduction", MNPL, LEAVE, "granted", HOSTED, "met", "medium"),
        ("output_use", MRL, LEAVE, "granted", {}, "met", "medium"),
        ("output_training", "llama-2", LEAVE, "granted", TRAINS, "met", "medium"),
        ("output_training", "llama-2", LEAVE, "refused", TRAINS, "violated", "critical"),
        ("user_threshold", "llama-3.1", LEAVE, "granted", MANY, "met", "medium"),
        ("user_threshold", "llama-3.1", LEAVE, "refused", MANY, "violated", "critical"),
        ("user_threshold", KIMI, "badge_shown", "missing", MANY_HOSTED, "unmet", "medium"),
        ("user_threshold", KIMI, "badge_shown", "confirmed", MANY_HOSTED, "met", "info"),
    ],
)
def test_a_finding_points_at_the_evidence_it_rests_on(
    rule: str, pin: str, kind: str, result: str, use: dict[str, Any], status: str, severity: str
) -> None:
    item = EvidenceFact(
        kind=kind, result=result, reference="r-7", summary="seen", method="measured"
    )

    found = told(item, pin=pin, rule=rule, **use)
    assert (found.status, found.severity) == (status, severity)
    assert [(one.kind, one.reference) for one in found.evidence] == [(kind, "r-7")]


def test_evidence_of_another_kind_is_not_pointed_at() -> None:
    for _, one in every_finding():
        kinds = {item.kind for item in one.evidence}
        if one.rule == "litigation":
            assert kinds <= {"matter"}
        elif one.rule == "guardrail":
            assert kinds <= {"guardrail_retention", "weight_comparison", "file_comparison"}
        else:
            assert len(kinds) <= 1


def test_a_finding_about_a_suit_names_the_matter() -> None:
    facts = make_facts(
        ModelFacts(id=BASE, license_pin=OCTOBER), matters=(make_matter(id="case-9"),)
    )

    found = next(one for one in evaluate(facts, LIBRARY).findings if one.rule == "litigation")
    assert [(one.kind, one.reference) for one in found.evidence] == [("matter", "case-9")]


def test_a_base_nobody_touched_weighs_less_than_a_fine_tune_that_was_measured() -> None:
    found = told(pin=OCTOBER, rule="guardrail")

    assert (found.status, found.severity, found.evidence) == ("met", "info", ())


@pytest.mark.parametrize(
    ("files", "status"),
    [
        (("LICENSE",), "met"),
        (("docs/LICENCE.md",), "met"),
        (("COPYING",), "met"),
        (("model/license.txt",), "met"),
        (("licences-we-like/readme",), "unmet"),
        (("README",), "unmet"),
    ],
)
def test_a_licence_file_is_known_by_its_own_name(files: tuple[str, ...], status: str) -> None:
    model = ModelFacts(id="acme/m", license="mit", distributed_files=files)
    found = evaluate(make_facts(model, use=make_use(**OUT)), LIBRARY).findings

    assert next(one.status for one in found if one.rule == "licence_copy") == status


def dated(facts: Facts) -> list[tuple[str, str]]:
    return [(one.licence, str(one.effective)) for one in evaluate(facts, LIBRARY).terminated]


def test_an_ended_licence_is_told_with_its_title_version_section_and_words() -> None:
    facts = make_facts(ModelFacts(id=BASE, license_pin=OCTOBER), matters=(make_matter(),))
    (ended,) = evaluate(facts, LIBRARY).terminated
    licence = LIBRARY.licences[OCTOBER]

    assert (ended.licence_title, ended.version) == (licence.title, licence.version)
    assert (ended.section, ended.path, ended.breach) == ("2.1", (BASE,), None)
    assert ended.quote == licence.clauses_of("litigation")[0].quote
    assert dated(facts) == [(OCTOBER, "2026-03-01")]

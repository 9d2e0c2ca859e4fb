"""Each clause kind: met, broken, unknown, and at its boundary."""

from datetime import date, timedelta
from typing import Any

import pytest

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import EvidenceFact, Facts, LicenceText, ModelFacts, ParentLink
from compliance.rules.library import bundled_library
from tests.compliance.build_facts import (
    APRIL,
    BASE,
    JANUARY,
    JUNE,
    NEMOTRON,
    OCTOBER,
    TODAY,
    TUNED,
    make_base,
    make_facts,
    make_matter,
    make_tuned,
    make_use,
    retention,
)

LIBRARY = bundled_library()
LLAMA_NOTICE = (
    "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright © Meta Platforms, "
    "Inc. All Rights Reserved."
)
NVIDIA_NOTICE = "Licensed by NVIDIA Corporation under the NVIDIA Open Model License"


def judge(*models: ModelFacts, **changes: Any) -> Assessment:
    return evaluate(make_facts(*models, **changes), LIBRARY)


def worst(assessment: Assessment, rule: str) -> Finding:
    found = [one for one in assessment.findings if one.rule == rule]
    assert found, f"no finding of {rule}"
    return found[0]


def guardrail(pin: str, *evidence: EvidenceFact) -> str:
    assessment = judge(make_tuned(*evidence, pin=pin), make_base(pin))
    return worst(assessment, "guardrail").status


@pytest.mark.parametrize(
    ("pin", "result", "method", "status"),
    [
        (OCTOBER, "retained", "measured", "met"),
        (OCTOBER, "retained", "attested", "needs_review"),
        (OCTOBER, "unknown", "measured", "needs_review"),
        (OCTOBER, "reduced", "measured", "violated"),
        (OCTOBER, "removed", "attested", "violated"),
        (OCTOBER, "replaced", "measured", "met"),
        (OCTOBER, "replaced", "attested", "needs_review"),
        (APRIL, "retained", "measured", "met"),
        (APRIL, "replaced", "measured", "violated"),
        (JANUARY, "replaced", "measured", "violated"),
        (JANUARY, "removed", "measured", "violated"),
        (JUNE, "removed", "measured", "not_applicable"),
        (NEMOTRON, "removed", "measured", "not_applicable"),
    ],
)
def test_the_guardrail_clause_is_judged_by_its_version(
    pin: str, result: str, method: str, status: str
) -> None:
    assert guardrail(pin, retention(result, method)) == status


def test_a_derivative_without_evidence_needs_review() -> None:
    assert guardrail(OCTOBER) == "needs_review"


def test_a_base_as_published_meets_the_clause() -> None:
    assert worst(judge(make_base()), "guardrail").status == "met"


def test_a_base_run_without_its_guardrails_breaks_the_clause() -> None:
    assert judge(make_base(evidence=(retention("removed"),))).decision == "deny"


def test_a_measured_loss_outweighs_a_claim_and_a_measured_keep_contests_one() -> None:
    claims_kept = (retention("retained", "attested"), retention("removed"))
    measured_kept = (retention("retained"), retention("removed", "attested"))

    assert guardrail(OCTOBER, *claims_kept) == "violated"
    assert guardrail(OCTOBER, *measured_kept) == "needs_review"


def test_ablated_weights_contest_a_kept_guardrail() -> None:
    ablated = EvidenceFact(
        kind="weight_comparison", result="directional_ablation", method="measured"
    )

    assert guardrail(OCTOBER, retention("retained"), ablated) == "needs_review"
    assert guardrail(OCTOBER, ablated) == "needs_review"


def test_files_without_a_mechanism_contest_a_kept_guardrail() -> None:
    weakened = EvidenceFact(kind="file_comparison", result="weakened", method="measured")
    changed = EvidenceFact(kind="file_comparison", result="changed", method="measured")

    assert guardrail(OCTOBER, retention("retained"), weakened) == "needs_review"
    assert guardrail(OCTOBER, retention("retained"), changed) == "met"
    assert guardrail(OCTOBER, retention("replaced"), weakened) == "met"


def test_ablated_weights_do_not_contest_a_measured_replacement() -> None:
    ablated = EvidenceFact(
        kind="weight_comparison", result="directional_ablation", method="measured"
    )

    assert guardrail(OCTOBER, retention("replaced"), ablated) == "met"
    assert guardrail(OCTOBER, retention("replaced", "attested"), ablated) == "needs_review"
    lost = retention("removed", "attested")
    assert guardrail(OCTOBER, retention("replaced"), lost, ablated) == "needs_review"


def test_a_loss_in_between_reaches_the_end_of_the_lineage() -> None:
    last = ModelFacts(id="acme/quantized", license_pin=OCTOBER, parents=(ParentLink(id=TUNED),))

    assert judge(last, make_tuned(retention("removed")), make_base()).decision == "deny"


def test_a_guardrail_breach_ends_the_licence_without_a_day() -> None:
    ended = judge(make_tuned(retention("removed")), make_base()).terminated

    assert {(one.licence, one.breach, one.matter, one.effective) for one in ended} == {
        (OCTOBER, "guardrail", None, None)
    }


def with_matter(pin: str, **changes: Any) -> Assessment:
    models = (make_tuned(retention("retained"), pin=pin), make_base(pin))
    return judge(*models, matters=(make_matter(**changes),))


@pytest.mark.parametrize(
    ("pin", "changes", "status"),
    [
        (OCTOBER, {}, "violated"),
        (JUNE, {"kind": "copyright"}, "violated"),
        (OCTOBER, {"kind": "trademark"}, "not_applicable"),
        (OCTOBER, {"kind": "other"}, "needs_review"),
        (OCTOBER, {"status": "draft"}, "met"),
        (OCTOBER, {"status": "threatened"}, "met"),
        (OCTOBER, {"status": "withdrawn"}, "needs_review"),
        (OCTOBER, {"status": "closed"}, "needs_review"),
        (OCTOBER, {"status": "withdrawn", "filed_on": None}, "needs_review"),
        (OCTOBER, {"in_response": True}, "violated"),
        (OCTOBER, {"alleges_model_infringes": (TUNED,)}, "violated"),
        (OCTOBER, {"alleges_model_infringes": ("some/other",)}, "met"),
        (NEMOTRON, {}, "violated"),
        ("openmdw-1.1", {}, "violated"),
        ("openmdw-1.1", {"in_response": True}, "met"),
        ("openmdw-1.1", {"in_response": False}, "violated"),
        ("apache-2.0", {}, "needs_review"),
        ("apache-2.0", {"kind": "copyright"}, "not_applicable"),
        ("llama-3.1", {"kind": "trade_secret"}, "violated"),
        ("qwen-2024", {"kind": "trademark"}, "violated"),
    ],
)
def test_a_matter_is_judged_by_the_words_of_the_licence(
    pin: str, changes: dict[str, Any], status: str
) -> None:
    found = [one for one in with_matter(pin, **changes).findings if one.rule == "litigation"]
    named = [one for one in found if one.evidence] or found

    assert named[0].status == status


def test_mit_has_no_litigation_clause() -> None:
    assessment = with_matter("mit")

    assert (assessment.decision, assessment.terminated) == ("allow", ())


def test_an_apache_suit_ends_the_patent_licence_only() -> None:
    ended = with_matter("apache-2.0").terminated

    assert {(one.scope, one.effective) for one in ended} == {("patent_only", date(2026, 3, 1))}


@pytest.mark.parametrize(("pin", "ends"), [(OCTOBER, False), (NEMOTRON, True), ("llama-3.1", True)])
def test_a_suit_over_outputs_counts_where_the_text_names_outputs(pin: str, ends: bool) -> None:
    assessment = with_matter(pin, alleges_model_infringes=(), alleges_output_infringes=(BASE,))

    assert bool(assessment.terminated) is ends


@pytest.mark.parametrize(
    ("filed_on", "status"), [(TODAY, "violated"), (TODAY + timedelta(1), "needs_review")]
)
def test_a_suit_counts_from_the_day_it_is_filed(filed_on: date, status: str) -> None:
    assert worst(with_matter(OCTOBER, filed_on=filed_on), "litigation").status == status


def test_a_withdrawn_suit_gives_nothing_back() -> None:
    assessment = with_matter(OCTOBER, status="withdrawn")

    assert assessment.decision == "needs_review"
    assert [one.matter for one in assessment.terminated] == ["m1"]


def test_a_suit_over_a_sibling_goes_to_a_person() -> None:
    sibling = make_tuned(id="other/sibling")
    models = (make_tuned(retention("retained")), make_base(), sibling)
    matter = make_matter(alleges_model_infringes=("other/sibling",))

    finding = worst(judge(*models, matters=(matter,)), "litigation")
    assert (finding.status, finding.model) == ("needs_review", BASE)


def test_a_llama_suit_over_another_llama_ends_the_one_agreement() -> None:
    mine = ModelFacts(id="meta/llama-8b", license="llama3.1")
    other = ModelFacts(id="meta/llama-70b", license="llama3.1")
    matter = make_matter(alleges_model_infringes=("meta/llama-70b",))

    assert judge(mine, other, matters=(matter,)).decision == "deny"


def test_a_suit_over_an_ancestor_without_a_known_licence_goes_to_a_person() -> None:
    models = (make_tuned(retention("retained")),)

    finding = worst(judge(*models, matters=(make_matter(),)), "litigation")
    assert (finding.status, finding.severity) == ("needs_review", "critical")


@pytest.mark.parametrize(
    ("commercial", "decision"), [(True, "deny"), (None, "needs_review"), (False, "allow")]
)
def test_a_noncommercial_licence(commercial: bool | None, decision: str) -> None:
    model = ModelFacts(id="a/b", license="cc-by-nc-4.0")

    assert judge(model, use=make_use(commercial=commercial)).decision == decision


@pytest.mark.parametrize(
    ("licence", "users", "status"),
    [
        ("llama3.1", 700_000_000, "met"),
        ("llama3.1", 700_000_001, "violated"),
        ("llama3.1", None, "needs_review"),
        ("qwen", 100_000_000, "met"),
        ("qwen", 100_000_001, "violated"),
    ],
)
def test_a_limit_is_passed_by_more_than_it(licence: str, users: int | None, status: str) -> None:
    use = make_use(monthly_active_users=users)

    found = worst(judge(ModelFacts(id="a/b", license=licence), use=use), "user_threshold")
    assert found.status == status


def test_the_licensors_leave_lifts_the_limit() -> None:
    leave = EvidenceFact(kind="licensor_permission", result="granted", reference="letter")
    model = ModelFacts(id="a/b", license="llama3.1", evidence=(leave,))

    found = worst(judge(model, use=make_use(monthly_active_users=10**9)), "user_threshold")
    assert found.status == "met"


def test_the_qwen_limit_is_for_commercial_use() -> None:
    use = make_use(monthly_active_users=10**9, commercial=False)

    found = worst(judge(ModelFacts(id="a/b", license="qwen"), use=use), "user_threshold")
    assert found.status == "not_applicable"


def ship(**changes: Any) -> Facts:
    model = make_tuned(retention("retained"), **changes)
    return make_facts(model, make_base(), use=make_use(purposes=("redistribution",)))


def duties(facts: Facts) -> set[str]:
    return {one.rule for one in evaluate(facts, LIBRARY).findings if one.status == "unmet"}


def test_shipping_without_papers_lists_what_is_missing() -> None:
    assert duties(ship()) == {"licence_copy", "notice_file"}


def test_shipping_with_papers_is_allowed() -> None:
    facts = ship(distributed_files=("LICENSE", "NOTICE"), notices=(NVIDIA_NOTICE,))

    assert evaluate(facts, LIBRARY).decision == "allow"


@pytest.mark.parametrize(
    "changes",
    [
        {"notices": (NVIDIA_NOTICE,), "distributed_files": ("LICENSE",)},
        {
            "notices": (NVIDIA_NOTICE.replace("Open ", ""),),
            "distributed_files": ("LICENSE", "NOTICE"),
        },
    ],
)
def test_a_notice_needs_its_words_and_its_file(changes: dict[str, Any]) -> None:
    assert duties(ship(**changes)) == {"notice_file"}


def test_internal_use_owes_no_papers() -> None:
    assert duties(make_facts()) == set()


def test_the_nemotron_notice_is_owed_only_when_the_work_ships_one() -> None:
    notice = (LicenceText(path="NOTICE", text="Licensed by NVIDIA"),)
    use = make_use(purposes=("redistribution",))
    tuned = make_tuned(pin=NEMOTRON, distributed_files=("LICENSE",), notices=("Copyright us",))
    without = judge(tuned, make_base(NEMOTRON), use=use)
    shipped = judge(make_base(NEMOTRON, licence_texts=notice), use=use)

    assert worst(without, "notice_file").status == "not_applicable"
    assert worst(shipped, "notice_file").status == "unmet"


def offered(**changes: Any) -> set[str]:
    tuned = ModelFacts(
        **{"id": TUNED, "license": "llama3.1", "parents": (ParentLink(id="meta/llama"),), **changes}
    )
    use = make_use(purposes=("hosted_service",))
    return duties(make_facts(tuned, ModelFacts(id="meta/llama", license="llama3.1"), use=use))


def test_a_hosted_llama_derivative_owes_badge_name_and_policy() -> None:
    assert offered() == {"badge", "model_name", "acceptable_use"}


def test_badge_name_and_policy_can_be_met() -> None:
    kept = EvidenceFact(kind="acceptable_use", result="confirmed")

    assert offered(id="acme/Llama-Tuned", notices=("Built with Llama",), evidence=(kept,)) == set()


def test_a_missing_badge_is_not_outweighed_by_a_confirmed_one() -> None:
    mixed = (
        EvidenceFact(kind="badge_shown", result="confirmed"),
        EvidenceFact(kind="badge_shown", result="missing"),
    )

    assert "badge" in offered(evidence=mixed)


def test_the_cosmos_badge_is_for_cosmos_models() -> None:
    use = make_use(purposes=("hosted_service",))
    cosmos = make_base(id="nvidia/Cosmos-Reason2")

    assert worst(judge(cosmos, use=use), "badge").status == "unmet"
    assert worst(judge(make_base(), use=use), "badge").status == "not_applicable"


@pytest.mark.parametrize(
    ("domains", "result", "status"),
    [
        (("customer_support",), None, "unmet"),
        (("customer_support",), "confirmed", "met"),
        (("Biometric-Identification",), None, "needs_review"),
        (("surveillance",), "unknown", "needs_review"),
        (("customer_support",), "violated", "violated"),
    ],
)
def test_a_use_policy(domains: tuple[str, ...], result: str | None, status: str) -> None:
    evidence = (EvidenceFact(kind="acceptable_use", result=result),) if result else ()
    use = make_use(domains=domains)

    found = worst(judge(make_base(evidence=evidence), use=use), "acceptable_use")
    assert found.status == status


def test_a_distilled_student_goes_to_a_person_where_outputs_are_free() -> None:
    student = make_tuned(
        retention("retained"), parents=(ParentLink(id=BASE, relation="distilled"),)
    )

    assert worst(judge(student, make_base()), "output_reach").status == "needs_review"

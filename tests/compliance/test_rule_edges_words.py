"""What a lawyer reads in the bundle and the findings: names, addresses, counts, what is missing."""

import pytest

from compliance.rules.evaluate import evaluate
from compliance.rules.facts import EvidenceFact, LicenceText, ModelFacts, ParentLink, Use
from compliance.rules.identify import resolve
from compliance.rules.library import bundled_library
from compliance.rules.notices import Bundle, notice_bundle
from tests.compliance.build_facts import make_facts

LIBRARY = bundled_library()
OUT = Use(purposes=("redistribution",), commercial=False)


def bundle(*models: ModelFacts, use: Use = OUT) -> Bundle:
    facts = make_facts(*models, use=use)
    return notice_bundle(evaluate(facts, LIBRARY), facts, LIBRARY)


def findings(model: ModelFacts, rule: str, use: Use) -> list[tuple[str, str, str]]:
    found = evaluate(make_facts(model, use=use), LIBRARY).findings
    return [(one.status, one.because, one.remedy or "") for one in found if one.rule == rule]


@pytest.mark.parametrize("path", ["LICENSE", "COPYING", "legal/COPYING.txt", "a/b/Licence.md"])
def test_a_text_under_any_usual_name_is_carried_along(path: str) -> None:
    texts = (LicenceText(path="README.md", text="no"), LicenceText(path=path, text="Words."))
    made = bundle(ModelFacts(id="a/b", license_pin="apache-2.0", licence_texts=texts))

    assert made.files["LICENSES/apache-2.0.txt"] == "Words."
    assert not [one for one in made.missing if one.startswith("LICENSES/")]


@pytest.mark.parametrize(
    "text", [LicenceText(path="LICENSE", text=" "), LicenceText(path="x", text="y")]
)
def test_an_empty_text_or_another_file_is_no_copy(text: LicenceText) -> None:
    made = bundle(ModelFacts(id="a/b", license_pin="apache-2.0", licence_texts=(text,)))

    assert "LICENSES/apache-2.0.txt" not in made.files
    assert any("no copy came with the model" in one for one in made.missing)


def test_attribution_names_title_version_licensor_and_what_is_asked() -> None:
    base = ModelFacts(id="x/base", license_pin="llama-3.1")
    made = bundle(
        ModelFacts(id="a/b", license_pin="llama-3.1", parents=(ParentLink(id="x/base"),)), base
    )
    licence = LIBRARY.licences["llama-3.1"]
    told = made.files["ATTRIBUTION.md"]

    assert licence.title in told
    assert f"({licence.licensor})" in told
    assert "has to be shown (section" in told
    assert "Its use policy binds too: " in told


def test_attribution_says_that_changes_have_to_be_stated() -> None:
    told = bundle(ModelFacts(id="a/b", license_pin="apache-2.0")).files["ATTRIBUTION.md"]

    version = LIBRARY.licences["apache-2.0"].version
    assert "Changed files have to say that they were changed (section 4" in told
    assert version is None or f", {version} (" in told


def test_a_policy_that_nobody_confirmed_is_named_by_its_address() -> None:
    named = [
        (licence.key, clause)
        for licence in LIBRARY.licences.values()
        for clause in licence.clauses_of("acceptable_use")
        if clause.params.get("url") and licence.role == "licence" and not licence.incorporates
    ]

    assert named
    for key, clause in named:
        told = findings(ModelFacts(id="a/b", license_pin=key), "acceptable_use", OUT)
        assert any(f" at {clause.params['url']};" in because for _, because, _ in told), key


@pytest.mark.parametrize(
    ("notices", "seen", "status"),
    [(("Kimi K2",), (), "met"), ((), (), "unmet"), (("Kimi K2",), ("missing",), "unmet")],
)
def test_words_owed_above_a_limit_may_stand_in_the_notices(
    notices: tuple[str, ...], seen: tuple[str, ...], status: str
) -> None:
    evidence = tuple(EvidenceFact(kind="badge_shown", result=one) for one in seen)
    model = ModelFacts(
        id="a/b", license_pin="kimi-k2-modified-mit", notices=notices, evidence=evidence
    )
    use = Use(purposes=("hosted_service",), commercial=True, monthly_active_users=200_000_000)

    assert [one[0] for one in findings(model, "user_threshold", use)] == [status]


def test_terms_to_pass_on_are_asked_for_with_the_evidence_that_settles_it() -> None:
    model = ModelFacts(id="a/b", license_pin="deepseek-1.0")
    told = findings(model, "pass_through", OUT)

    assert told
    for status, _, remedy in told:
        assert status == "unmet"
        assert remedy.endswith("terms_passed_on.")
        assert len(remedy) > len("record evidence terms_passed_on.")


def test_a_long_way_keeps_both_ends_and_counts_what_is_left_out() -> None:
    chain = [
        ModelFacts(
            id=f"a/m{at}", license_pin="apache-2.0", parents=(ParentLink(id=f"a/m{at + 1}"),)
        )
        for at in range(29)
    ]
    last = ModelFacts(id="a/m29", license_pin="nvidia-open-model-2025-10-24")
    facts = make_facts(*chain, last, subject="a/m0", use=OUT)
    judged = evaluate(facts, LIBRARY)
    [path] = {one.path for one in judged.binding_licences if one.model == "a/m29"}

    assert path[:12] == tuple(f"a/m{at}" for at in range(12))
    assert path[12] == "... 6 more ..."
    assert path[13:] == tuple(f"a/m{at}" for at in range(18, 30))


def test_a_pin_that_nobody_knows_settles_nothing() -> None:
    resolved = resolve(ModelFacts(id="a/b", license_pin="no-such-key"), LIBRARY)

    assert (resolved.how, resolved.licences) == ("unresolved", ())


@pytest.mark.parametrize(
    "card", [{"license": "apache-2.0"}, {"license": "other", "license_name": "apache-2.0"}]
)
def test_a_contradiction_repeats_what_the_card_says(card: dict[str, str]) -> None:
    texts = (LicenceText(path="LICENSE", text="GOVERNING TERMS: the Llama 3.1 Community License."),)
    resolved = resolve(ModelFacts(id="a/b", licence_texts=texts, **card), LIBRARY)  # type: ignore[arg-type]

    assert "says 'apache-2.0'" in resolved.problems[0].because

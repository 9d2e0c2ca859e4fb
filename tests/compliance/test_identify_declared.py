"""Lists and expressions of licences, papers that are no licence, and what a choice means."""

import pytest

from compliance.rules.evaluate import evaluate
from compliance.rules.expressions import MAX_CHOICES, read_expression
from compliance.rules.facts import LicenceText, ModelFacts
from compliance.rules.identify import Resolved, resolve
from compliance.rules.library import bundled_library
from tests.compliance.build_facts import make_facts
from tests.compliance.build_texts import synthetic_library, synthetic_text

LIBRARY = bundled_library()
POLICY = "llama-3.2-use-policy"
HOUSE = synthetic_library("llama-3.2", POLICY, "mit", "apache-2.0")


def declare(value: str, **changes: object) -> Resolved:
    return resolve(ModelFacts(id="a/b", license=value, **changes), LIBRARY)  # type: ignore[arg-type]


def store(*names: str, altered: str = "", **changes: object) -> Resolved:
    texts = []
    for name in names:
        text = synthetic_text(name)
        path = "USE_POLICY.md" if name == POLICY else f"LICENSE-{name}"
        if name == altered:
            text = text.replace("is about", "is not about")
        texts.append(LicenceText(path=path, text=text))
    return resolve(ModelFacts(id="a/b", licence_texts=tuple(texts), **changes), HOUSE)  # type: ignore[arg-type]


def keys(resolved: Resolved) -> list[str]:
    return [one.key for one in resolved.licences]


def codes(resolved: Resolved) -> list[str]:
    return [one.code for one in resolved.problems]


@pytest.mark.parametrize(
    "value",
    [
        "Apache-2.0 AND llama3.1",
        "apache-2.0 and (llama3.1)",
        "apache-2.0, llama3.1",
        "['apache-2.0', 'llama3.1']",
        "LicenseRef-scancode-apache-2.0 AND LicenseRef-llama-3.1",
    ],
)
def test_all_of_a_list_or_conjunction_bind(value: str) -> None:
    resolved = declare(value)

    assert (resolved.how, keys(resolved)) == ("declared", ["apache-2.0", "llama-3.1"])
    assert codes(resolved) == []


def test_a_choice_is_told_as_a_choice() -> None:
    resolved = declare("Apache-2.0 OR MIT")

    assert (resolved.how, resolved.choices) == ("choice", (("apache-2.0",), ("mit",)))
    assert keys(resolved) == ["apache-2.0", "mit"]


def test_a_choice_between_licences_that_forbid_alike_needs_nobody() -> None:
    assert codes(declare("apache-2.0 OR mit")) == []


def test_a_choice_between_licences_that_forbid_differently_asks() -> None:
    resolved = declare("apache-2.0 OR llama3.1")

    assert codes(resolved) == ["choice_open"]
    assert evaluate(
        make_facts(ModelFacts(id="a/b", license="mit OR llama3.1")), LIBRARY
    ).decision in (
        "needs_review",
        "deny",
    )


def test_a_pin_chooses_and_keeps_what_binds_with_it() -> None:
    resolved = declare("(mit OR apache-2.0) AND cc-by-4.0", license_pin="mit")

    assert (resolved.how, keys(resolved), codes(resolved)) == ("pinned", ["mit", "cc-by-4.0"], [])


def test_a_pin_among_stored_texts_of_a_choice_contradicts_none_of_them() -> None:
    resolved = store("mit", "apache-2.0", license="mit OR apache-2.0", license_pin="mit")

    assert (keys(resolved), codes(resolved)) == (["mit"], [])


def test_both_texts_of_a_choice_may_be_stored() -> None:
    resolved = store("mit", "apache-2.0", license="mit OR apache-2.0")

    assert (resolved.how, codes(resolved)) == ("choice", [])
    assert resolved.choices == (("mit",), ("apache-2.0",))


def test_both_texts_without_a_word_of_choice_bind() -> None:
    resolved = store("mit", "apache-2.0")

    assert (resolved.how, keys(resolved)) == ("exact_text", ["apache-2.0", "mit"])


def test_an_unknown_part_asks_and_the_known_part_binds() -> None:
    resolved = declare("Apache-2.0 AND LicenseRef-house")

    assert (keys(resolved), codes(resolved)) == (["apache-2.0"], ["licence_unknown"])
    assert "LicenseRef-house" in resolved.problems[0].because


def test_a_choice_with_an_unknown_part_stays_open() -> None:
    assert codes(declare("mit OR LicenseRef-house")) == ["licence_unknown", "choice_open"]


def test_an_exception_makes_another_licence() -> None:
    assert codes(declare("MIT WITH Classpath-exception-2.0 AND apache-2.0")) == ["licence_unknown"]


def test_ids_that_public_indexes_lack_are_understood() -> None:
    assert keys(declare("OpenMDW-1.1 AND MIT")) == ["mit", "openmdw-1.1"]


@pytest.mark.parametrize(
    "value", ["apache-2.0", "mit or", "research and education license", "((mit"]
)
def test_what_is_no_expression_is_left_to_the_ids(value: str) -> None:
    assert read_expression(value, LIBRARY) is None


def test_an_expression_with_countless_alternatives_is_refused_at_once() -> None:
    pairs = [f"(a{at} OR b{at})" for at in range(30)]

    assert read_expression(" AND ".join(pairs), LIBRARY) is None
    assert read_expression(" OR ".join(f"a{at}" for at in range(MAX_CHOICES + 1)), LIBRARY) is None
    assert codes(declare(" AND ".join(pairs))) == ["licence_unknown"]


def test_a_link_outside_an_expression_binds_too_and_is_reported() -> None:
    resolved = declare("mit AND apache-2.0", license_link="https://llama.meta.com/llama3_1/license")

    assert codes(resolved) == ["declarations_disagree"]
    assert "llama-3.1" in keys(resolved)


def test_a_policy_alone_is_no_licence() -> None:
    resolved = store(POLICY)

    assert (resolved.how, keys(resolved), codes(resolved)) == (
        "unresolved",
        [],
        ["licence_missing"],
    )
    assert [one.key for one in resolved.papers] == [POLICY]
    assert POLICY in resolved.problems[0].because


def test_a_policy_beside_its_licence_is_recognised_and_no_fault() -> None:
    resolved = store("llama-3.2", POLICY)

    assert (keys(resolved), codes(resolved)) == (["llama-3.2"], [])
    assert [one.key for one in resolved.papers] == [POLICY]


def test_an_altered_policy_is_reported() -> None:
    resolved = store("llama-3.2", POLICY, altered=POLICY)

    assert (resolved.how, codes(resolved)) == ("exact_text", ["text_altered"])
    assert "USE_POLICY.md" in resolved.problems[0].because


def test_a_policy_of_another_licence_is_reported() -> None:
    resolved = store("mit", POLICY)

    assert (keys(resolved), codes(resolved)) == (["mit"], ["paper_unattached"])


def test_a_policy_that_is_declared_is_no_licence() -> None:
    model = ModelFacts(id="a/b", license="other", license_name=POLICY)

    assert codes(resolve(model, LIBRARY)) == ["licence_unknown"]


def test_a_licence_for_data_on_a_model_asks() -> None:
    key = next(one.key for one in LIBRARY.licences.values() if one.role == "dataset_licence")
    resolved = resolve(ModelFacts(id="a/b", license="other", license_name=key), LIBRARY)

    assert (keys(resolved), codes(resolved)) == ([key], ["licence_for_data"])

"""A text is known word for word, or it is not known."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import LicenceText, ModelFacts
from compliance.rules.identify import identify_text, resolve
from compliance.rules.library import build_library, bundled_library
from compliance.rules.text import pack_sketch, similarity, sketch, text_digest, words
from tests.compliance.build_facts import APRIL, JUNE, OCTOBER, make_facts
from tests.compliance.test_catalogue import stored_text

LIBRARY = bundled_library()
NAME = "nvidia-open-model-license"


def stored(text: str | None, path: str = "LICENSE") -> LicenceText:
    return LicenceText(path=path, text=text)


def codes(model: ModelFacts) -> list[str]:
    return [problem.code for problem in resolve(model, LIBRARY).problems]


@pytest.mark.parametrize("key", [JUNE, APRIL, OCTOBER, "apache-2.0", "mit", "llama-3.1"])
def test_a_stored_copy_is_recognised_exactly(key: str) -> None:
    match = identify_text(stored(stored_text(key)), LIBRARY)

    assert (match.outcome, match.licence and match.licence.key) == ("exact", key)


def test_layout_and_quotes_do_not_matter() -> None:
    text = stored_text(OCTOBER).replace("“", '"').replace("”", '"').replace("\n", "\n\n   ")

    assert identify_text(stored(text), LIBRARY).outcome == "exact"


def test_a_gutted_guardrail_clause_is_near_and_names_the_clause() -> None:
    text = stored_text(APRIL).replace("reduce the efficacy of", "reduce the latency of")
    match = identify_text(stored(text), LIBRARY)

    assert match.outcome == "near"
    assert match.altered_clauses == ("guardrail",)


def test_a_negated_clause_is_not_exact() -> None:
    text = stored_text(APRIL).replace("will automatically terminate", "will not terminate")

    assert identify_text(stored(text), LIBRARY).outcome == "near"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_one_changed_word_anywhere_is_never_exact(data: st.DataObject) -> None:
    tokens = words(stored_text(OCTOBER))
    at = data.draw(st.integers(0, len(tokens) - 1))
    tokens[at] = tokens[at] + "x"

    assert identify_text(stored(" ".join(tokens)), LIBRARY).outcome == "near"


def test_a_counterfeit_with_the_right_title_is_unknown() -> None:
    text = "NVIDIA Open Model License Agreement - Version 1.0\n" + "You may do as we say. " * 200

    assert identify_text(stored(text), LIBRARY).outcome == "unknown"


def test_a_holder_line_does_not_matter_but_a_term_in_it_does() -> None:
    plain = stored_text("mit")
    held = f"MIT License\n\nCopyright (c) 2024 Example Ltd\n\n{plain}"
    limited = f"MIT License\n\nCopyright (c) 2024 Example Ltd, not for commercial use\n\n{plain}"

    assert identify_text(stored(held), LIBRARY).outcome == "exact"
    assert identify_text(stored(limited), LIBRARY).outcome == "contains"
    assert codes(ModelFacts(id="a/b", licence_texts=(stored(limited),))) == ["text_surrounded"]


@given(st.text(max_size=400), st.text(max_size=400))
def test_similarity_is_symmetric_and_one_for_equal_texts(left: str, right: str) -> None:
    a, b = sketch(left), sketch(right)

    assert similarity(a, b) == similarity(b, a)
    assert similarity(a, a) in (0.0, 1.0)


def test_an_empty_text_has_a_digest_but_is_no_licence() -> None:
    assert len(text_digest("")) == 64
    assert identify_text(stored(" \n"), LIBRARY).outcome == "empty"


def test_an_empty_licence_file_is_unresolved_even_for_a_known_id() -> None:
    model = ModelFacts(id="a/b", license="apache-2.0", licence_texts=(stored(""),))

    assert codes(model) == ["text_empty"]


def test_an_unreadable_licence_file_is_unresolved() -> None:
    model = ModelFacts(id="a/b", license="mit", licence_texts=(stored(None),))

    assert codes(model) == ["text_unreadable"]


def test_a_name_with_several_versions_stays_open() -> None:
    resolved = resolve(ModelFacts(id="a/b", license="other", license_name=NAME), LIBRARY)

    assert resolved.how == "candidates"
    assert len(resolved.licences) == 6


def test_a_versioned_link_settles_the_version() -> None:
    link = "https://developer.download.nvidia.com/licenses/nvidia-open-model-license-agreement-june-2024.pdf"
    model = ModelFacts(id="a/b", license="other", license_name=NAME, license_link=link)

    assert [one.key for one in resolve(model, LIBRARY).licences] == [JUNE]


def test_a_stored_copy_settles_the_version() -> None:
    text = (stored(stored_text(OCTOBER)),)
    resolved = resolve(ModelFacts(id="a/b", license_name=NAME, licence_texts=text), LIBRARY)

    assert (resolved.how, [one.key for one in resolved.licences]) == ("exact_text", [OCTOBER])


def test_a_pin_settles_the_version() -> None:
    resolved = resolve(ModelFacts(id="a/b", license_name=NAME, license_pin=APRIL), LIBRARY)

    assert (resolved.how, [one.key for one in resolved.licences]) == ("pinned", [APRIL])


def test_a_pin_to_nothing_is_unresolved() -> None:
    assert codes(ModelFacts(id="a/b", license="mit", license_pin="no-such")) == ["licence_unknown"]


def test_a_pin_against_the_stored_text_is_reported_and_both_bind() -> None:
    text = (stored(stored_text(APRIL)),)
    resolved = resolve(ModelFacts(id="a/b", license_pin=OCTOBER, licence_texts=text), LIBRARY)

    assert [one.code for one in resolved.problems] == ["pin_contradicts_text"]
    assert {one.key for one in resolved.licences} == {OCTOBER, APRIL}


def test_a_card_that_contradicts_its_text_is_reported_and_both_bind() -> None:
    model = ModelFacts(id="a/b", license="mit", licence_texts=(stored(stored_text("llama-3.1")),))

    assert codes(model) == ["text_contradicts_card"]
    assert {one.key for one in resolve(model, LIBRARY).licences} == {"mit", "llama-3.1"}


def test_an_id_and_a_name_that_disagree_are_reported() -> None:
    assert codes(ModelFacts(id="a/b", license="mit", license_name="qwen")) == [
        "declarations_disagree"
    ]


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (ModelFacts(id="a/b"), "licence_missing"),
        (ModelFacts(id="a/b", license="other"), "licence_unknown"),
        (ModelFacts(id="a/b", license="mrl"), "licence_unknown"),
    ],
)
def test_what_is_not_known_is_said_to_be_unknown(model: ModelFacts, code: str) -> None:
    assert codes(model) == [code]


def test_a_use_policy_beside_a_known_licence_is_no_fault() -> None:
    files = (stored(stored_text("llama-3.1")), stored("be kind", "USE_POLICY.md"))

    assert codes(ModelFacts(id="a/b", license="llama3.1", licence_texts=files)) == []


def test_the_text_tool_prints_a_record_the_catalogue_accepts(tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "compliance.rules.text"],
        input=b"Do what you like.",
        capture_output=True,
        check=True,
    )

    assert text_digest("Do what you like.") in done.stdout.decode()


SENTENCES = [
    f"Sentence {at} grants right number {at} to you under condition {at * 7}." for at in range(60)
]
QUOTE = SENTENCES[30]


def house_library() -> Library:
    """Build a catalogue of one invented text, so that these rules are tested without any file."""
    text = "\n".join(SENTENCES)
    clause = {
        "id": "thirty", "kind": "noncommercial", "section": "30", "quote": QUOTE, "trigger": "use",
        "actor": "licensee", "scope": "model", "effect": "prohibit",
    }  # fmt: skip
    document = {
        "key": "house-1", "title": "House", "family": "house", "licensor": "House",
        "status": "read", "source": "test", "date_read": date(2026, 1, 1), "clauses": [clause],
        "text_sha256": text_digest(text), "text_sketch": pack_sketch(sketch(text)),
    }  # fmt: skip
    return build_library({"house-1.yaml": yaml.safe_dump(document).encode()})


def test_an_invented_text_is_exact_near_or_unknown_as_it_drifts() -> None:
    catalogue = house_library()
    text = "\n".join(SENTENCES)
    drift = {
        "exact": text.upper().replace("\n", "\n\n> "),
        "near": text.replace("condition 210", "no condition"),
        "unknown": " ".join(SENTENCES[:12]) + " other words entirely" * 200,
    }

    found = {name: identify_text(stored(value), catalogue) for name, value in drift.items()}
    assert {name: match.outcome for name, match in found.items()} == {name: name for name in drift}
    assert found["near"].altered_clauses == ("thirty",)


@pytest.mark.parametrize(
    ("words_there", "decision"), [("condition 210", "deny"), ("no condition", "needs_review")]
)
def test_a_clause_whose_words_are_gone_asks_instead_of_deciding(
    words_there: str, decision: str
) -> None:
    text = "\n".join(SENTENCES).replace("condition 210", words_there)
    model = ModelFacts(id="a/b", licence_texts=(stored(text),))

    assert evaluate(make_facts(model), house_library()).decision == decision


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("This model is licensed under the MIT License.", True),
        ("MIT License", True),
        ("Licensed under the MIT License.\n\nCopyright (c) 2026 Acme. All rights reserved.", True),
        ("MIT License. No commercial use.", False),
        ("This model is licensed under the MIT License. You may not sell it.", False),
        ("Licensed under the MIT License, except for commercial use.", False),
        ("Licensed under the MIT License. Those who sell the model owe us a tenth.", False),
    ],
)
def test_a_file_that_adds_a_term_is_no_pointer(text: str, points: bool) -> None:
    stored = LicenceText(path="LICENSE", text=text)
    resolved = resolve(ModelFacts(id="a/b", license="mit", licence_texts=(stored,)), LIBRARY)

    codes = {one.code for one in resolved.problems}
    assert ("text_unknown" in codes) is not points

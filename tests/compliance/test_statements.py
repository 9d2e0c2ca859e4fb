"""Prose binds when it says so plainly, asks when it does not, and advice is no term."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.rules.evaluate import evaluate
from compliance.rules.facts import LicenceText, ModelFacts, ParentLink, Statement
from compliance.rules.identify import Resolved, resolve
from compliance.rules.library import bundled_library
from compliance.rules.statements import read_statement
from tests.compliance.build_facts import APRIL, JUNE, NEMOTRON, OCTOBER, make_facts
from tests.compliance.build_texts import synthetic_library, synthetic_text

LIBRARY = bundled_library()
OML = "nvidia-open-model-license"
PAGE = "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/"
JUNE_PDF = "https://developer.download.nvidia.com/licenses/nvidia-open-model-license-agreement-june-2024.pdf"
DUAL = f"""## License/Terms of Use
GOVERNING TERMS: Your use of this model is governed by the [NVIDIA Open Model License]({PAGE}).
Additional Information: [Llama 3.1 Community License Agreement](https://www.llama.com/llama3_1/license/).
Built with Llama.
"""


def card(text: str, **changes: object) -> ModelFacts:
    values = {"license": "apache-2.0", **changes}
    return ModelFacts(id="a/b", statements=(Statement(source="card", text=text),), **values)  # type: ignore[arg-type]


def gate(text: str, **changes: object) -> ModelFacts:
    values = {"license": "other", "license_name": OML, **changes}
    return ModelFacts(id="a/b", statements=(Statement(source="gate", text=text),), **values)  # type: ignore[arg-type]


def settle(model: ModelFacts) -> Resolved:
    return resolve(model, LIBRARY)


def keys(resolved: Resolved) -> list[str]:
    return [one.key for one in resolved.licences]


def codes(resolved: Resolved) -> list[str]:
    return [one.code for one in resolved.problems]


def test_additional_information_binds_and_says_where() -> None:
    resolved = settle(card(DUAL, license="other", license_name=OML, license_link=JUNE_PDF))

    assert keys(resolved) == [JUNE, "llama-3.1"]
    assert codes(resolved) == ["also_stated"]
    assert "The card of a/b" in resolved.problems[0].because
    assert "Llama 3.1 Community License Agreement" in resolved.problems[0].because


def test_a_second_licence_in_prose_never_passes_without_a_person() -> None:
    judged = evaluate(make_facts(card(DUAL, license="other", license_name=OML)), LIBRARY)

    assert judged.decision != "allow"
    assert "also_stated" in {one.rule for one in judged.findings}


def test_a_file_that_points_to_a_dated_text_settles_the_version() -> None:
    text = (
        "GOVERNING TERMS: Use of this model is governed by the NVIDIA Open Model License "
        f"Agreement (found at {JUNE_PDF}). ADDITIONAL INFORMATION: Llama 3.2 Community License "
        "Agreement. Built with Llama."
    )
    files = (LicenceText(path="License.txt", text=text),)
    named = settle(ModelFacts(id="a/b", license="other", license_name=OML, licence_texts=files))
    bare = settle(ModelFacts(id="a/b", licence_texts=files))

    assert (named.how, keys(named), codes(named)) == (
        "declared",
        [JUNE, "llama-3.2"],
        ["also_stated"],
    )
    assert keys(bare) == keys(named)
    assert "License.txt" in named.problems[0].because


def test_a_file_that_points_elsewhere_than_the_card_is_reported() -> None:
    files = (LicenceText(path="License.txt", text=f"Governed by the NVIDIA licence at {JUNE_PDF}"),)
    resolved = settle(ModelFacts(id="a/b", license="mit", licence_texts=files))

    assert codes(resolved) == ["text_contradicts_card"]
    assert set(keys(resolved)) == {JUNE, "mit"}


def test_a_dated_link_in_the_card_settles_an_open_version() -> None:
    text = f"Use is governed by the [NVIDIA Open Model License]({JUNE_PDF})."
    resolved = settle(card(text, license="other", license_name=OML))

    assert (resolved.how, keys(resolved)) == ("declared", [JUNE])


def test_a_dated_link_further_on_tells_which_version_the_name_means() -> None:
    text = f"Governed by the NVIDIA Open Model License.\nUse is subject to the terms at {JUNE_PDF}."
    resolved = settle(card(text, license="other", license_name=OML))

    assert (resolved.how, keys(resolved), codes(resolved)) == ("declared", [JUNE], [])


def test_a_link_takes_no_stored_version_away() -> None:
    library = synthetic_library(JUNE, OCTOBER)
    files = tuple(
        LicenceText(path=f"LICENSE-{key}", text=synthetic_text(key)) for key in (JUNE, OCTOBER)
    )
    said = f"Governed by the licence at {JUNE_PDF}."
    resolved = resolve(card(said, license=None, licence_texts=files), library)

    assert (resolved.how, keys(resolved)) == ("exact_text", [JUNE, OCTOBER])


def test_an_undated_link_leaves_the_version_open() -> None:
    text = f"Use is governed by the [NVIDIA Open Model License]({PAGE})."
    resolved = settle(card(text, license="other", license_name=OML))

    assert resolved.how == "candidates"
    assert {JUNE, APRIL, OCTOBER} <= set(keys(resolved))


@pytest.mark.parametrize(
    "text",
    [
        "Unlike models under the Llama 3.1 Community License, this one is free.",
        "| Other | Llama 3.1 Community License | 700M |",
        "This model is not licensed under the Llama 3.1 Community License.",
        "The dataset is licensed under the Llama 3.1 Community License.",
        "Earlier releases were previously under the Llama 3.1 Community License.",
        "See also the Llama 3.1 Community License.",
        "This model was trained on outputs of Llama 3.1 405B.",
        "Distilled from llama3.1 by us.",
    ],
)
def test_a_mention_binds_nothing_and_asks(text: str) -> None:
    resolved = settle(card(text))

    assert (keys(resolved), codes(resolved)) == (["apache-2.0"], ["maybe_stated"])
    assert text in resolved.problems[0].because


@pytest.mark.parametrize(
    "text",
    [
        "It beats Llama 3.1 8B in our tests.\n\n| Llama 3.1 | 65.2 |",
        "This model is released under the Apache License, Version 2.0.",
        "The weights are Apache-2.0.",
        "A model for everybody. Apache helicopters are not covered.",
    ],
)
def test_plain_talk_and_the_own_licence_raise_nothing(text: str) -> None:
    resolved = settle(card(text))

    assert (keys(resolved), codes(resolved)) == (["apache-2.0"], [])


@pytest.mark.parametrize(
    "text",
    [
        "Use of this model is governed by the [House Internal Research License](https://x.example/l).",
        "The weights are released under the House Community License Agreement.",
    ],
)
def test_a_governing_licence_that_nobody_knows_asks(text: str) -> None:
    assert codes(settle(card(text))) == ["stated_unknown"]
    assert codes(settle(card(text, license="other"))) == ["licence_unknown"]
    assert codes(settle(card(text, license_pin="mit"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "GOVERNING TERMS: Use of this model is governed by the [CC-BY-4.0](https://x.example).",
        "* Released under a **permissive CC BY 4.0 license**",
        '### <span style="color:#466f00;">License/Terms of Use:</span>\n\nCC-BY-4.0 license',
        "Licensed by House Ltd under the Creative Commons Attribution 4.0 International.",
    ],
)
def test_cards_as_publishers_write_them_name_what_applies(text: str) -> None:
    assert codes(settle(card(text, license="cc-by-4.0"))) == []
    assert codes(settle(card(text, license="mit"))) == ["also_stated"]


def test_a_licence_of_the_source_code_asks_and_does_not_bind() -> None:
    text = f"Governed by the [NVIDIA licence]({JUNE_PDF}). Our source code is under Apache-2.0."
    resolved = settle(card(text, license="other", license_name=OML))

    assert (keys(resolved), codes(resolved)) == ([JUNE], ["maybe_stated"])


def test_a_parent_that_is_declared_is_not_asked_for_again() -> None:
    told = "This model was fine-tuned from Llama 3.1 8B Instruct."
    parents = (ParentLink(id="meta-llama/Llama-3.1-8B-Instruct"),)

    assert codes(settle(card(told, parents=parents))) == []
    assert codes(settle(card(told))) == ["maybe_stated"]


def test_a_badge_without_its_licence_asks() -> None:
    assert codes(settle(card("Built with Llama"))) == ["maybe_stated"]
    assert codes(settle(card("Built with Llama", license="llama3.1"))) == []


def test_a_plain_statement_outranks_an_unclear_one() -> None:
    text = (
        "See the Llama 3.1 Community License.\nUse is governed by the Llama 3.1 Community License."
    )

    assert codes(settle(card(text))) == ["also_stated"]


def test_a_heading_lends_its_sense_to_the_lines_below() -> None:
    text = "# Results\nGood.\n\n### License\n\n[Llama 3.1 Community License](LICENSE)"

    assert codes(settle(card(text))) == ["also_stated"]


def test_prose_alone_is_taken_but_asks() -> None:
    resolved = settle(card("License: MIT License", license=None))

    assert (resolved.how, keys(resolved), resolved.own) == ("declared", ["mit"], True)
    assert codes(resolved) == ["only_stated"]


def test_a_notice_that_names_a_licence_binds() -> None:
    said = "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright © Meta."
    notice = (Statement(source="notice", text=said),)
    resolved = settle(ModelFacts(id="a/b", license="mit", statements=notice))

    assert (keys(resolved), codes(resolved)) == (["mit", "llama-3.1"], ["also_stated"])


def test_a_pin_is_not_asked_about_mentions_but_hears_plain_statements() -> None:
    mention = "Unlike the Llama 3.1 Community License, ours is short."

    assert codes(settle(card(mention, license_pin=OCTOBER))) == []
    assert codes(settle(card(DUAL, license_pin=OCTOBER))) == ["also_stated"]


ADVICE = (
    "We advise against circumvention of any provided safety guardrails contained in the Model "
    "without a substantially similar guardrail appropriate for your use case."
)


@pytest.mark.parametrize("said", [ADVICE, ADVICE.replace("provided ", "")])
def test_advice_is_shown_and_is_no_term(said: str) -> None:
    resolved = settle(card(said, license_pin=NEMOTRON))

    assert [(one.licence, one.source) for one in resolved.advice] == [(NEMOTRON, "card")]
    assert codes(resolved) == []


def test_a_card_without_advice_has_none() -> None:
    assert settle(card("We advise you to be kind to people.", license_pin=NEMOTRON)).advice == ()


PARAPHRASE = (
    "If You bypass or disable any technical limitation, safety guardrail, encryption, DRM, or "
    "authentication mechanism contained in the Model without a substantially similar Guardrail, "
    "your rights will terminate."
)


def test_a_gate_in_other_words_is_evidence_and_the_agreement_governs() -> None:
    resolved = settle(gate(PARAPHRASE, license_pin=OCTOBER))

    assert (keys(resolved), codes(resolved)) == ([OCTOBER], ["gate_differs"])
    assert resolved.doubtful == frozenset()
    assert "[-reduce the efficacy of, or circumvent-]" in resolved.problems[0].because


def test_a_gate_in_words_of_no_version_is_reported_for_an_open_version_too() -> None:
    assert codes(settle(gate(PARAPHRASE.replace("encryption, DRM", "encryption")))) == [
        "gate_differs"
    ]


def test_a_gate_that_quotes_clauses_word_for_word_does_not_differ() -> None:
    quote = LIBRARY.licences[OCTOBER].clauses_of("guardrail")[0].quote

    assert (
        codes(settle(gate(f"By asking for access you accept: {quote}", license_pin=OCTOBER))) == []
    )


def test_a_gate_with_the_whole_text_settles_the_version() -> None:
    library = synthetic_library(APRIL, OCTOBER)
    whole = gate(synthetic_text(APRIL))
    resolved = resolve(whole, library)

    assert (resolved.how, keys(resolved), codes(resolved)) == ("exact_text", [APRIL], [])


def test_a_gate_with_the_text_of_another_licence_binds_and_asks() -> None:
    library = synthetic_library(APRIL, "mit")
    text = synthetic_text(APRIL)
    altered = text.replace("will automatically terminate", "will not terminate")
    whole = resolve(gate(text, license="mit", license_name=None), library)
    changed = resolve(gate(altered, license="mit", license_name=None), library)

    assert (keys(whole), codes(whole)) == (["mit", APRIL], ["also_stated"])
    assert (keys(changed), codes(changed)) == (["mit"], ["maybe_stated"])


def test_a_gate_with_another_version_than_the_stored_text_is_reported() -> None:
    library = synthetic_library(APRIL, OCTOBER)
    files = (LicenceText(path="LICENSE", text=synthetic_text(OCTOBER)),)
    resolved = resolve(gate(synthetic_text(APRIL), licence_texts=files), library)

    assert (keys(resolved), codes(resolved)) == ([OCTOBER], ["gate_differs"])


def test_a_gate_with_one_changed_word_is_no_copy() -> None:
    library = synthetic_library(APRIL, OCTOBER)
    text = synthetic_text(APRIL).replace("will automatically terminate", "will not terminate")
    resolved = resolve(gate(text, license_pin=APRIL), library)

    assert codes(resolved) == ["gate_differs"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=500))
def test_no_prose_breaks_the_reader_or_names_a_licence_by_chance(text: str) -> None:
    assert read_statement(Statement(source="card", text=text), LIBRARY) == ()


@pytest.mark.parametrize("key", sorted(LIBRARY.licences))
def test_every_title_is_understood_in_a_plain_sentence(key: str) -> None:
    licence = LIBRARY.licences[key]
    said = f"Use of this model is governed by the {licence.title}."
    named = read_statement(Statement(source="card", text=said), LIBRARY)

    assert licence.family in {one.family for item in named for one in item.versions}
    assert {item.sense for item in named} == {"applies"}

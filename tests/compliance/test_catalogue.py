"""The catalogue says what the licence texts say."""

import os
import re
from functools import cache
from pathlib import Path

import pytest
from license_expression import get_spdx_licensing

from compliance.rules.catalogue import CLAUSE_KINDS, litigation_terms
from compliance.rules.clauses import CLAUSE_RULES
from compliance.rules.facts import LicenceText
from compliance.rules.identify import NEAR, identify_text
from compliance.rules.library import CATALOGUE_FOLDER, bundled_library
from compliance.rules.text import contains_quote, similarity, sketch, text_digest, words

REPO = Path(__file__).resolve().parents[2]
LIBRARY = bundled_library()
ENDING = ("guardrail", "litigation", "revocable", "revenue_threshold")


def texts_folder() -> Path:
    named = os.environ.get("LICTOR_LICENCE_TEXTS")
    folder = Path(named) if named else REPO.parent / "shared" / "licence-texts"
    if not folder.is_dir():
        pytest.skip(f"NOT CHECKED: no licence texts at {folder}; set LICTOR_LICENCE_TEXTS")
    return folder


@cache
def texts() -> dict[str, str]:
    """Map catalogue keys to the texts at hand, by what stands in them and not by their names."""
    owners = {digest: key for key, one in LIBRARY.licences.items() for digest in one.text_sha256}
    found = {}
    for path in sorted(texts_folder().glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        if (key := owners.get(text_digest(text))) is not None:
            found.setdefault(key, text)
    return found


def stored_text(key: str) -> str:
    if key not in texts():
        pytest.skip(f"NOT CHECKED: no copy of {key}")
    return texts()[key]


def test_at_least_fifty_dated_texts_are_known() -> None:
    assert len(LIBRARY.licences) >= 50
    read = [one for one in LIBRARY.licences.values() if one.status == "read"]
    assert len(read) >= 50
    assert [one.key for one in read if not one.text_sha256] == []


def test_spdx_ids_are_ids() -> None:
    told = {one.spdx for one in LIBRARY.licences.values() if one.spdx}
    # Of these the list that ships with the library is older than the licence.
    newer = {"OpenMDW-1.0", "OpenMDW-1.1"}

    unknown = get_spdx_licensing().validate(" AND ".join(sorted(told - newer))).invalid_symbols
    assert unknown == []


def test_the_catalogue_holds_the_promised_licences() -> None:
    assert {
        "nvidia-open-model-2024-06-14",
        "nvidia-open-model-2025-01-06",
        "nvidia-open-model-2025-04-28",
        "nvidia-open-model-2025-10-24",
        "nvidia-nemotron-open-model-2025-12-15",
        "openmdw-1.1",
        "apache-2.0",
        "mit",
        "llama-3.1",
        "qwen-2024",
        "cc-by-nc-4.0",
    } <= set(LIBRARY.licences)


def test_every_clause_kind_has_a_function_and_no_function_is_left_over() -> None:
    assert set(CLAUSE_RULES) == set(CLAUSE_KINDS)


@pytest.mark.parametrize("key", sorted(LIBRARY.licences))
def test_every_quote_stands_word_for_word_in_its_text(key: str) -> None:
    text = stored_text(key)
    missing = [
        one.id for one in LIBRARY.licences[key].clauses if not contains_quote(text, one.quote)
    ]

    assert missing == []


@pytest.mark.parametrize("key", sorted(LIBRARY.licences))
def test_the_recorded_digest_and_sketch_are_those_of_the_text(key: str) -> None:
    text = stored_text(key)

    assert text_digest(text) in LIBRARY.licences[key].text_sha256
    assert similarity(sketch(text), LIBRARY.licences[key].text_sketch) >= NEAR


def test_no_whole_licence_text_is_shipped() -> None:
    longest = max(len(one.quote) for item in LIBRARY.licences.values() for one in item.clauses)
    sizes = {path.name: path.stat().st_size for path in CATALOGUE_FOLDER.glob("*.yaml")}

    assert longest < 700
    assert max(sizes.values()) < 16_000


@pytest.mark.parametrize(
    ("key", "substitute"),
    [
        ("nvidia-open-model-2024-06-14", None),
        ("nvidia-open-model-2025-01-06", "not_allowed"),
        ("nvidia-open-model-2025-04-28", "not_allowed"),
        ("nvidia-open-model-2025-10-24", "substantially_similar"),
        ("nvidia-nemotron-open-model-2025-12-15", None),
        ("openmdw-1.1", None),
    ],
)
def test_the_guardrail_clause_differs_by_version(key: str, substitute: str | None) -> None:
    clauses = LIBRARY.licences[key].clauses_of("guardrail")

    assert [one.params["substitute"] for one in clauses] == ([substitute] if substitute else [])


@pytest.mark.parametrize(
    ("key", "rights", "ends", "outputs", "carve_out"),
    [
        ("nvidia-open-model-2025-10-24", {"patent", "copyright"}, "all", False, "none"),
        ("nvidia-nemotron-open-model-2025-12-15", {"patent", "copyright"}, "all", True, "none"),
        ("openmdw-1.1", {"patent", "copyright"}, "all", False, "responsive_suit"),
        ("apache-2.0", {"patent"}, "patent_only", False, "none"),
        ("llama-3.1", {"any"}, "all", True, "none"),
    ],
)
def test_litigation_terms_follow_the_text(
    key: str, rights: set[str], ends: str, outputs: bool, carve_out: str
) -> None:
    terms = litigation_terms(LIBRARY.licences[key].clauses_of("litigation")[0])

    assert (terms.rights, terms.ends, terms.outputs, terms.carve_out) == (
        rights, ends, outputs, carve_out,
    )  # fmt: skip


@pytest.mark.parametrize("key", sorted(LIBRARY.licences))
def test_one_other_word_in_an_ending_clause_is_another_text(key: str) -> None:
    text, licence = stored_text(key), LIBRARY.licences[key]
    for clause in licence.clauses:
        if clause.kind in ENDING:
            altered = _with_another_word(text, clause.quote)
            match = identify_text(LicenceText(path="LICENSE", text=altered), LIBRARY)
            assert match.outcome != "exact", clause.id
            assert clause.id in match.altered_clauses or match.licence != licence, clause.id


def _with_another_word(text: str, quote: str) -> str:
    """Put another word in the place of a quote's fourth, where it stands in the text."""
    # Quotation marks and apostrophes inside a word are no part of it.
    spelled = ["[’‘'“”\"`]?".join(map(re.escape, word)) for word in words(quote)]
    before, after = (r"\W+".join(part) for part in (spelled[:3], spelled[4:]))
    pattern = rf"({before}\W+){spelled[3]}(\W+{after})"
    altered, count = re.subn(pattern, r"\1otherwise\2", text, count=1, flags=re.IGNORECASE)
    assert count == 1, quote
    return altered


def test_no_record_claims_a_human_sign_off_it_does_not_have() -> None:
    assert {item.reviewed_by for item in LIBRARY.licences.values()} == {None}

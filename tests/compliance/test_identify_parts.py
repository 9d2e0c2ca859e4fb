"""Each licence in a file is found; whatever is not word for word is shown, and asks."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.rules.catalogue import Library
from compliance.rules.decoding import decode_text
from compliance.rules.facts import LicenceText, ModelFacts
from compliance.rules.identify import resolve
from compliance.rules.licence_file import TextReading, identify_text, read_text
from compliance.rules.text import (
    contains_quote,
    licence_words,
    shingles,
    similarity,
    sketch_of,
    words,
)
from tests.compliance.build_facts import APRIL, JUNE, OCTOBER
from tests.compliance.build_texts import (
    BUNDLED,
    filler,
    knowing,
    synthetic_library,
    synthetic_text,
)
from tests.compliance.test_catalogue import stored_text

CLAUSED = sorted(key for key, one in BUNDLED.licences.items() if one.clauses)
LIBRARY = synthetic_library(OCTOBER, "mit", "llama-3.1")
TEXT = synthetic_text(OCTOBER)
MIT = synthetic_text("mit")


def stored(text: str | None, path: str = "LICENSE") -> LicenceText:
    return LicenceText(path=path, text=text)


def read(text: str | None) -> TextReading:
    return read_text(stored(text), LIBRARY)


def keys(reading: TextReading) -> list[str]:
    return [one.licence.key for one in reading.parts if one.licence]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_edited_word_in_any_clause_is_near_names_it_and_asks(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(CLAUSED))
    library, text = synthetic_library(key), synthetic_text(key)
    clause = data.draw(st.sampled_from(BUNDLED.licences[key].clauses))
    tokens = clause.quote.split()
    at = data.draw(st.sampled_from([at for at, one in enumerate(tokens) if words(one)]))
    change = data.draw(st.sampled_from(["", "not", f"{tokens[at]}x", f"{tokens[at]} not"]))
    altered = text.replace(clause.quote, " ".join([*tokens[:at], change, *tokens[at + 1 :]]))
    reading = read_text(stored(altered), library)

    if words(altered) == words(text):
        return
    assert read_text(stored(text), library).outcome == "exact"
    assert (reading.outcome, keys(reading)) == ("near", [key])
    # A word put right behind a quote leaves the quote itself whole.
    touched = not contains_quote(altered, clause.quote)
    assert (clause.id in reading.main.altered_clauses) == touched
    resolved = resolve(ModelFacts(id="a/b", licence_texts=(stored(altered),)), library)
    assert "text_altered" in [one.code for one in resolved.problems]
    assert ((key, clause.id) in resolved.doubtful) == touched


def test_a_negated_clause_shows_the_words() -> None:
    match = read(TEXT.replace("will automatically terminate", "will not terminate")).main
    change = match.clauses[0].changes[0]

    assert match.altered_clauses == ("guardrail",)
    assert (change.old, change.new, change.kind) == ("automatically", "not", "replaced")
    assert change.before.endswith("this Agreement will")


def test_a_dropped_clause_is_missing() -> None:
    quote = BUNDLED.licences[OCTOBER].clauses_of("guardrail")[0].quote
    match = read(TEXT.replace(quote, "")).main

    assert [(one.id, one.kind) for one in match.clauses] == [("guardrail", "missing")]


def test_an_added_clause_is_shown_as_a_passage_of_its_own() -> None:
    added = "Whoever earns more than ten coins a year must first send the author a signed letter."
    start = TEXT.index(filler(OCTOBER, 4))
    more = " ".join([added, added.replace("coins", "notes"), added.replace("letter", "card")] * 4)
    match = read(f"{TEXT[:start]}{more}\n{TEXT[start:]}").main

    assert (match.outcome, match.altered_clauses) == ("near", ())
    assert "send the author a signed letter" in " ".join(match.passages)


def test_renumbering_is_no_exact_copy() -> None:
    reading = read(TEXT.replace("Part 2 of", "Part 3 of"))

    assert (reading.outcome, reading.main.altered_clauses) == ("near", ())


@pytest.mark.parametrize(
    "variant",
    [
        TEXT.replace("\n", "\r\n"),
        "\ufeff" + TEXT,
        TEXT.replace("\n", "\n\n> ").replace("Agreement", "**Agreement**"),
        TEXT.replace("Agreement", "[Agreement](https://example.org/agreement/terms)"),
        TEXT.replace("\n", "<br/>\n"),
        TEXT.replace("terminate", "termi\u00adnate").replace("rights", "ri\u200bghts"),
        f"# NVIDIA Open Model License Agreement\n\nCopyright (c) 2025 House\n\n{TEXT}",
    ],
    ids=["crlf", "mark", "markdown", "links", "breaks", "soft hyphens", "heading"],
)
def test_layout_is_no_edit(variant: str) -> None:
    assert read(variant).outcome == "exact"


@pytest.mark.parametrize(
    "word", ["t\u0435rminate", "\u202eterminate", "term\U000e006einate", "terminate\u2067"]
)
def test_look_alike_letters_and_turning_marks_are_edits_and_are_named(word: str) -> None:
    text = TEXT.replace("terminate", word)
    resolved = resolve(ModelFacts(id="a/b", licence_texts=(stored(text),)), LIBRARY)

    assert read(text).outcome == "near"
    assert "\\u" in read(text).disguised[0]
    assert "text_disguised" in [one.code for one in resolved.problems]


def test_a_joining_mark_between_two_words_makes_them_one() -> None:
    assert read(TEXT.replace("will automatically", "will\u200bautomatically")).outcome == "near"


@pytest.mark.parametrize("copies", [(TEXT, MIT), (MIT, TEXT), (MIT, MIT), (TEXT, MIT, TEXT)])
def test_licences_in_a_row_are_each_found(copies: tuple[str, ...]) -> None:
    named = {TEXT: OCTOBER, MIT: "mit"}
    reading = read("\n\n-----\n\n".join(copies))

    assert (reading.outcome, keys(reading)) == ("exact", [named[one] for one in copies])


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_text_that_repeats_its_own_first_and_last_words_is_found(times: int) -> None:
    edge = "House Public Licence, as agreed between us and you, for good"
    body = [filler("house", at) for at in range(90)]
    text = "\n".join([edge, *body[:50], edge, *body[50:], edge])
    library = Library({"mit": knowing(BUNDLED.licences["mit"], text)}, f"synthetic:edge{times}")
    reading = read_text(stored("\n\n".join([text] * times)), library)

    assert (reading.outcome, len(reading.parts)) == ("exact", times)


def test_both_licences_of_one_file_bind() -> None:
    model = ModelFacts(id="a/b", licence_texts=(stored(f"{MIT}\n{TEXT}"),))
    resolved = resolve(model, LIBRARY)

    assert (resolved.how, {one.key for one in resolved.licences}) == (
        "exact_text",
        {"mit", OCTOBER},
    )
    assert resolved.problems == ()


def test_an_altered_licence_after_an_exact_one_is_found_too() -> None:
    reading = read(f"{MIT}\n{TEXT.replace('will automatically', 'will not')}")

    assert [(one.outcome, one.licence and one.licence.key) for one in reading.parts] == [
        ("exact", "mit"),
        ("near", OCTOBER),
    ]


def test_words_around_a_licence_are_shown_and_ask() -> None:
    text = f"Made for friends only.\n{TEXT}\nNo company may use this."
    resolved = resolve(ModelFacts(id="a/b", licence_texts=(stored(text),)), LIBRARY)

    assert read(text).outcome == "contains"
    assert read(text).extra == ("Made for friends only.", "No company may use this.")
    assert [one.code for one in resolved.problems] == ["text_surrounded"]


def test_one_more_word_after_a_licence_is_not_exact() -> None:
    assert read(f"{TEXT} Not.").outcome != "exact"
    assert read(f"Not. {TEXT}").outcome != "exact"


def test_an_extended_permissive_text_with_one_edit_is_not_the_permissive_one() -> None:
    key = "kimi-k2-modified-mit"
    text = f"{MIT}\n" + " ".join(filler("rider", at) for at in range(6))
    mit = synthetic_library("mit").licences["mit"]
    extended = knowing(BUNDLED.licences[key], text)
    library = Library({"mit": mit, key: extended}, "synthetic:extended")
    altered = text.replace("matter 21", "matter 22")
    reading = read_text(stored(altered), library)

    assert (reading.outcome, keys(reading)) == ("near", [key])


def test_a_counterfeit_title_over_other_words_is_unknown() -> None:
    text = "NVIDIA Open Model License Agreement\n" + "You may do as we say today. " * 200

    assert read(text).outcome == "unknown"


PAGE = "<!DOCTYPE html><html><head><title>x</title><style>p {}</style></head><body>"


def test_a_saved_page_is_read_but_never_exact() -> None:
    page = f"{PAGE}<nav>Home</nav><p>{TEXT}</p></body></html>"
    resolved = resolve(ModelFacts(id="a/b", licence_texts=(stored(page),)), LIBRARY)

    assert (read(page).outcome, keys(read(page)), read(page).html) == ("contains", [OCTOBER], True)
    assert "text_is_html" in [one.code for one in resolved.problems]
    bare = f"<html><body>{TEXT}</body></html>"
    assert read(bare).outcome == "contains"


def test_a_page_without_a_licence_is_unknown() -> None:
    assert read(f"{PAGE}<script>{TEXT}</script><p>Sign in to go on.</p>").outcome == "unknown"


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-32"),
        TEXT.encode("cp1252", "strict"),
    ],
    ids=["utf-8", "utf-16", "utf-16-be", "no mark", "utf-32", "windows"],
)
def test_every_usual_encoding_is_read(raw: bytes) -> None:
    assert read(decode_text(raw)).outcome == "exact"


@pytest.mark.parametrize("raw", [b"%PDF-1.7\n\x00\x01\xff\xfe", b"\xff\xfe\x00", b"\x00\x00\x00"])
def test_bytes_that_are_no_text_are_unreadable(raw: bytes) -> None:
    assert read(decode_text(raw)).outcome == "unreadable"


@pytest.mark.parametrize("text", ["", " \n\t", "\ufeff", "---\n***"])
def test_a_file_without_words_is_empty(text: str) -> None:
    assert read(text).outcome == "empty"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=3000))
def test_no_text_breaks_the_reader_or_passes_as_a_licence(text: str) -> None:
    assert read(text).outcome in ("empty", "unknown")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.randoms(use_true_random=False))
def test_a_licence_is_found_wherever_it_stands(before: int, after: int, chance) -> None:  # type: ignore[no-untyped-def]
    noise = [f"noise{chance.randrange(10**6)}" for _ in range(before + after)]
    text = " ".join([*noise[:before], "\n", TEXT, "\n", *noise[before:]])
    part = read(text).main

    assert (part.outcome, part.licence and part.licence.key) == (
        "contains" if before + after else "exact",
        OCTOBER,
    )


@pytest.mark.parametrize(
    ("one", "other", "true"),
    [(APRIL, OCTOBER, 0.764), (APRIL, JUNE, 0.622), (JUNE, OCTOBER, 0.605)],
)
def test_a_sketch_tells_how_far_apart_two_versions_stand(one: str, other: str, true: float) -> None:
    left, right = (set(shingles(licence_words(stored_text(key)))) for key in (one, other))

    assert len(left & right) / len(left | right) == pytest.approx(true, abs=0.001)
    # 256 runs tell it to within 0.06 in 19 of 20 cases.
    assert similarity(sketch_of(left), sketch_of(right)) == pytest.approx(true, abs=0.06)


REAL = [JUNE, APRIL, OCTOBER, "apache-2.0", "mit", "llama-3.1", "llama-3.2", "qwen-2024"]


@pytest.mark.parametrize("first", REAL)
@pytest.mark.parametrize("second", [APRIL, "llama-3.3", "cc-by-nc-4.0"])
def test_real_texts_in_a_row_are_each_found_word_for_word(first: str, second: str) -> None:
    text = f"{stored_text(first)}\n\n{stored_text(second)}"
    reading = read_text(stored(text), BUNDLED)

    assert (reading.outcome, keys(reading)) == ("exact", [first, second])


@pytest.mark.parametrize("key", REAL)
def test_a_real_text_among_other_words_is_found_word_for_word(key: str) -> None:
    text = f"Read this with care, please.\n{stored_text(key)}\nSigned by hand in ink."
    reading = read_text(stored(text), BUNDLED)

    assert (reading.outcome, keys(reading)) == ("contains", [key])
    assert reading.extra == ("Read this with care, please.", "Signed by hand in ink.")


def test_the_closest_version_of_a_family_is_named() -> None:
    text = stored_text(OCTOBER).replace("crossclaim", "counter action")

    assert identify_text(stored(text), BUNDLED).licence is BUNDLED.licences[OCTOBER]

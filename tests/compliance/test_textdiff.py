"""A difference names the words, in the spelling of the texts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.rules.text import words
from compliance.rules.textdiff import (
    Finder,
    diff_texts,
    disguised_words,
    matching_blocks,
    spell,
)

OLD = """1. Grant. You may use the Model, and share it, for any purpose at all.
2. Guard. If You disable the guardrail, your rights will automatically terminate.
3. Law. This Agreement is governed by the laws of the State of Delaware."""
WORDS = ["a", "b", "c", "d", "the", "of", "rights", "not"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=60)


def told(old: str, new: str) -> list[tuple[str, str, str]]:
    return [(one.kind, one.old, one.new) for one in diff_texts(old, new)]


def test_a_replaced_word_keeps_its_spelling() -> None:
    new = OLD.replace("automatically terminate", "NOT terminate")

    assert told(OLD, new) == [("replaced", "automatically", "NOT")]


def test_an_added_and_a_dropped_passage_are_told_apart() -> None:
    new = OLD.replace("for any purpose at all", "for purpose at all, except war")

    assert told(OLD, new) == [("dropped", "any", ""), ("added", "", "except war.")]


def test_a_change_shows_what_surrounds_it() -> None:
    change = diff_texts(OLD, OLD.replace("will automatically", "will not"))[0]

    assert (
        str(change)
        == "guardrail, your rights will [-automatically-]{+not+} terminate. 3. Law. This"
    )


def test_layout_quotes_and_case_are_no_difference() -> None:
    new = OLD.upper().replace("\n", "\n\n> ").replace("GUARDRAIL", "“guardrail”")

    assert told(OLD, new) == []


def test_a_renumbered_section_is_a_difference() -> None:
    assert told(OLD, OLD.replace("3. Law", "4. Law")) == [("replaced", "3.", "4.")]


def test_look_alike_letters_are_spelled_out() -> None:
    assert told("may terminate", "may t\u0435rminate") == [
        ("replaced", "terminate", "t\\u0435rminate")
    ]
    assert disguised_words("plain wоrds here") == ("w\\u043erds",)
    assert disguised_words("Ünïcode naïve “quotes” §") == ()


@settings(max_examples=150, deadline=None)
@given(TEXTS, TEXTS)
def test_putting_the_changes_in_turns_one_text_into_the_other(
    old: list[str], new: list[str]
) -> None:
    rebuilt, at_old, at_new = [], 0, 0
    for start_old, start_new, size in [*matching_blocks(old, new), (len(old), len(new), 0)]:
        assert start_old >= at_old
        assert start_new >= at_new
        rebuilt += new[at_new:start_new] + old[start_old : start_old + size]
        at_old, at_new = start_old + size, start_new + size

    assert rebuilt == new
    assert (not diff_texts(" ".join(old), " ".join(new))) == (old == new)


@given(st.text(max_size=300))
def test_spelling_keeps_the_words_of_plain_texts(text: str) -> None:
    spelling = spell(text)

    assert len(spelling.words) == len(spelling.piece_of)
    assert spelling.show(0, len(spelling.words)).split() == spelling.pieces


def test_a_clause_is_found_although_words_differ() -> None:
    quote = "If You disable the guardrail, your rights will automatically terminate."
    text = OLD.replace("disable the", "switch off the").replace("automatically", "never")
    changes = Finder(spell(text)).changes(spell(quote))

    assert changes is not None
    assert [(one.old, one.new) for one in changes] == [
        ("disable", "switch off"),
        ("automatically", "never"),
    ]


def test_a_change_of_the_first_and_the_last_word_is_shown() -> None:
    quote = "If You disable the guardrail, your rights will automatically terminate."
    text = OLD.replace("If You", "When You").replace("terminate", "continue")
    changes = Finder(spell(text)).changes(spell(quote))

    assert changes is not None
    assert [(one.old, one.new) for one in changes] == [("If", "When"), ("terminate.", "continue.")]


def test_a_clause_that_is_not_there_is_not_found() -> None:
    quote = "You shall pay a fee of ten coins for each user that the Model serves in a month."

    assert Finder(spell(OLD)).changes(spell(quote)) is None


def test_a_long_text_with_one_edit_is_compared_by_its_anchors() -> None:
    text = " ".join(f"word{at % 700} the of and" for at in range(4000))
    changes = diff_texts(text, text.replace("word350 the", "word350 not the", 1))

    assert [(one.kind, one.new) for one in changes] == [("added", "not")]
    assert len(words(text)) == 16_000

"""Check the pure parts behind licence records: moves, redlines, places in YAML, merging."""

from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compliance.rules import licence_record as rules
from compliance.rules.faults import InputFaults
from compliance.rules.library import CATALOGUE_FOLDER, bundled_library
from compliance.rules.licence_diff import compare, redline
from compliance.rules.merge import affected_keys, base_catalogue, document_digest, merge
from compliance.rules.yaml_places import line_of

STATES = get_args(rules.State)
MIT = (CATALOGUE_FOLDER / "mit.yaml").read_bytes()
WORDS = st.lists(st.sampled_from(["a", "b", "the", "Model", "not"]), max_size=12).map(" ".join)


@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("new", STATES)
def test_only_the_moves_of_the_table_pass_and_decisions_take_two(old: Any, new: Any) -> None:
    def passes(person: str) -> bool:
        try:
            rules.check_move(old, new, author="lena", person=person)
        except rules.RecordError:
            return False
        return True

    allowed = {
        ("draft", "proposed"): {"lena"},
        ("draft", "withdrawn"): {"lena"},
        ("proposed", "withdrawn"): {"lena"},
        ("proposed", "active"): {"lou"},
        ("proposed", "refused"): {"lou"},
        ("active", "superseded"): {"lena", "lou"},
    }
    assert {person for person in ("lena", "lou") if passes(person)} == allowed.get(
        (old, new), set()
    )


@pytest.mark.parametrize("key", sorted(bundled_library().licences))
def test_every_key_that_ships_is_a_good_key(key: str) -> None:
    assert rules.key_fault(key) is None


@pytest.mark.parametrize(
    "key", ["", "A", "../x", "a/b", "a b", "-a", "a.", "proposals", "new", "check", "x" * 101, "ä"]
)
def test_a_key_that_would_not_do_in_an_address_is_refused(key: str) -> None:
    assert rules.key_fault(key) is not None


@given(WORDS, WORDS)
def test_a_redline_holds_both_texts(before: str, after: str) -> None:
    pieces = redline(before, after)

    assert " ".join(one.text for one in pieces if one.op != "new") == before
    assert " ".join(one.text for one in pieces if one.op != "gone") == after


def clause(key: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "section": "1", "quote": "No money.", **more}


def test_a_document_does_not_differ_from_itself() -> None:
    document = yaml.safe_load(MIT)

    assert not compare(document, document)


def test_turning_two_documents_round_swaps_added_and_removed() -> None:
    old = {"title": "A", "clauses": [clause("x"), clause("y")]}
    new = {"title": "A", "clauses": [clause("y"), clause("z")]}

    def said(one: Any, other: Any) -> set[tuple[str, str]]:
        return {(change.id, change.change) for change in compare(one, other).clauses}

    assert said(old, new) == {("x", "removed"), ("z", "added")}
    assert said(new, old) == {("x", "added"), ("z", "removed")}


def test_a_changed_order_and_a_deep_parameter_are_told() -> None:
    old = {"clauses": [clause("x", params={"limit": 1}), clause("y")]}
    new = {"clauses": [clause("y"), clause("x", params={"limit": 2})]}

    found = compare(old, new)

    assert found.order_changed
    [changed] = found.clauses
    assert [(one.name, one.before, one.after) for one in changed.fields] == [
        ("params.limit", "1", "2")
    ]


def test_a_sketch_is_not_spelt_out() -> None:
    [field] = compare({"text_sketch": "AAAA"}, {"text_sketch": "BBBB"}).fields

    assert (field.before, field.after) == ("(sketch)", "(sketch)")


TEXT = "key: a\nclauses:\n  - id: x\n    params:\n      limit: 3\n  - id: y\n"


@pytest.mark.parametrize(
    ("place", "message", "line"),
    [
        ("key", "", 1),
        ("clauses[0].params.limit", "", 5),
        ("clauses[1].id", "", 6),
        ("clauses[1].quote", "", 6),
        ("clauses[0].params.unit", "", 4),
        ("clauses[9]", "", 2),
        ("title", "", 1),
        ("", "line 4: key 'a' is given twice", 4),
        ("", "while parsing, line 2, column 1 expected, line 7, column 2", 7),
    ],
)
def test_a_place_is_found_in_the_text(place: str, message: str, line: int) -> None:
    assert line_of(TEXT, place, message) == line


def test_what_is_no_yaml_has_no_line() -> None:
    assert line_of("a: [", "a") is None
    assert line_of("", "a") is None


def test_no_record_gives_the_base_itself() -> None:
    assert merge(base_catalogue(), {}) is base_catalogue().library


def test_the_order_of_records_and_the_layout_of_their_text_change_nothing() -> None:
    apache = (CATALOGUE_FOLDER / "apache-2.0.yaml").read_bytes()
    base = base_catalogue()

    one = merge(base, {"mit": MIT, "apache-2.0": apache})
    other = merge(base, {"apache-2.0": b"# a comment\n" + apache, "mit": MIT})

    assert one.digest == other.digest != base.library.digest
    assert document_digest(MIT) == document_digest(MIT + b"\n# more\n")
    assert document_digest(MIT) != document_digest(MIT.replace(b"MIT License", b"MIT Licence"))


def test_a_record_may_incorporate_what_ships_and_nothing_that_is_not_there() -> None:
    name = next(one.key for one in bundled_library().licences.values() if one.role == "policy")
    text = MIT.replace(b"status:", f"incorporates: [{name}]\nstatus:".encode())

    merged = merge(base_catalogue(), {"mit": text})

    assert merged.licences["mit"].incorporates == (name,)
    with pytest.raises(InputFaults, match="'nowhere' is not in the catalogue"):
        merge(base_catalogue(), {"mit": text.replace(name.encode(), b"nowhere")})


def test_a_change_reaches_the_family_and_what_incorporates_it() -> None:
    library = bundled_library()
    policy = next(one for one in library.licences.values() if one.role == "policy")
    users = {key for key, one in library.licences.items() if policy.key in one.incorporates}
    family = {key for key, one in library.licences.items() if one.family == policy.family}

    found = affected_keys(library, library, policy.key)

    assert found == users | family | {policy.key}
    assert users
    assert "mit" not in found

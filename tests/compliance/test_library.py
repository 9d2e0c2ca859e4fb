"""A catalogue with a fault does not load, and says everything that is wrong."""

from typing import Any

import pytest
import yaml

from compliance.rules.faults import InputFaults
from compliance.rules.library import CATALOGUE_FOLDER, build_library


def clause(**changes: Any) -> dict[str, Any]:
    values = {
        "id": "nc", "kind": "noncommercial", "section": "1", "quote": "No money.",
        "trigger": "use", "actor": "licensee", "scope": "model", "effect": "prohibit",
    }  # fmt: skip
    return {**values, **changes}


def licence(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "key": "one", "title": "One", "family": "one", "licensor": "Somebody", "status": "read",
        "source": "a book", "date_read": "2026-01-01", "clauses": [clause()],
    }  # fmt: skip
    return {**values, **changes}


def build(*documents: dict[str, Any]) -> Any:
    dumped = {}
    for at, document in enumerate(documents):
        text = yaml.safe_dump(document).replace("'2026-01-01'", "2026-01-01")
        name = f"{document.get('key', at)}.yaml"
        dumped[name if name not in dumped else f"other-{name}"] = text.encode()
    return build_library(dumped)


def faults_of(*documents: dict[str, Any]) -> list[str]:
    with pytest.raises(InputFaults) as caught:
        build(*documents)
    assert caught.value.code == "catalogue_invalid"
    return [str(fault) for fault in caught.value.faults]


def test_a_sound_licence_loads() -> None:
    assert build(licence()).licences["one"].clauses[0].quote == "No money."


def test_an_empty_catalogue_is_refused() -> None:
    assert faults_of() == ["catalogue: holds no licence; an empty catalogue would know nothing"]


def test_two_files_with_one_key_are_refused() -> None:
    assert faults_of(licence(), licence()) == [
        "other-one.yaml.key: 'one' must equal the file's name"
    ]


def test_an_unknown_clause_kind_is_refused() -> None:
    faults = faults_of(licence(clauses=[clause(kind="magic")]))

    assert faults[0].startswith("one.yaml.clauses[0].kind: 'magic' is unknown")


@pytest.mark.parametrize("quote", [None, ""])
def test_a_clause_without_its_quote_is_refused(quote: str | None) -> None:
    assert faults_of(licence(clauses=[clause(quote=quote)])) == [
        "one.yaml.clauses[0].quote: is required"
    ]


def test_an_unknown_key_is_refused() -> None:
    assert faults_of(licence(clausess=[])) == [
        "one.yaml.clausess: unknown key; remove it or correct its spelling"
    ]


def test_a_litigation_clause_needs_all_its_terms() -> None:
    faults = faults_of(licence(clauses=[clause(kind="litigation", params={"ends": "some"})]))

    assert "one.yaml.clauses[0].params.ends: must be one of all, patent_only" in faults
    assert "one.yaml.clauses[0].params.rights: is required for kind 'litigation'" in faults


def test_all_faults_of_all_files_come_at_once() -> None:
    faults = faults_of(licence(status="guessed"), licence(key="two", text_sha256="zz"))

    assert faults == [
        "one.yaml.status: must be one of read, second_hand, unverified",
        "two.yaml.text_sha256: 'zz' is no sha256 in lower-case hex",
    ]


def test_two_licences_cannot_claim_one_text() -> None:
    digest = "a" * 64
    faults = faults_of(licence(text_sha256=digest), licence(key="two", text_sha256=digest))

    assert faults == ["two.text_sha256: is the text of 'one' too"]


def test_a_key_given_twice_in_one_file_is_refused() -> None:
    with pytest.raises(InputFaults, match="key 'key' is given twice"):
        build_library({"one.yaml": b"key: one\nkey: two\n"})


def test_the_digest_changes_with_one_word_and_not_with_the_order_of_files() -> None:
    files = {path.name: path.read_bytes() for path in CATALOGUE_FOLDER.glob("*.yaml")}
    turned = dict(reversed(list(files.items())))
    edited = {**files, "mit.yaml": files["mit.yaml"].replace(b"shall be", b"should be")}

    assert build_library(files).digest == build_library(turned).digest
    assert build_library(files).digest != build_library(edited).digest

"""The pages for lawyers say what the catalogue says."""

from pathlib import Path

from compliance.rules.catalogue import CLAUSE_KINDS
from compliance.rules.catalogue_pages import MEANING, catalogue_pages
from compliance.rules.library import bundled_library
from tests.compliance.build_licences import make_clause, make_library, make_licence

PAGES = Path(__file__).resolve().parents[2] / "docs" / "licences.md"


def test_the_pages_in_the_repository_are_those_of_the_catalogue() -> None:
    told = "docs/licences.md is older than the catalogue: run make pages"

    assert PAGES.read_text() == catalogue_pages(bundled_library()), told


def test_every_clause_kind_has_a_heading() -> None:
    assert set(MEANING) == set(CLAUSE_KINDS)


def test_a_clause_is_quoted_with_its_section() -> None:
    clause = make_clause("noncommercial") | {"section": "4(b)", "quote": "Only *research* | <b>."}
    pages = catalogue_pages(make_library(make_licence("house-1", clause)))

    assert "**Non-commercial use only** (section 4(b), `noncommercial`)" in pages
    assert "> “Only \\*research\\* \\| \\<b\\>.”" in pages
    assert "| [house-1](#house-1) | no | free | nothing said | nothing said | none | yes |" in pages


def test_what_was_not_read_says_so() -> None:
    pages = catalogue_pages(make_library(make_licence("house-1", status="second_hand")))

    assert "1 known second hand or not read" in pages
    assert "a reviewer has to read the original" in pages

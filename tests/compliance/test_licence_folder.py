"""Check the operator's folder of licences: what it overrides, and what stops the start."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from compliance import selectors_licences as selectors
from compliance.checks import FOLDER_INVALID
from compliance.rules.library import bundled_library
from compliance.services import licences
from registry.errors import Conflict
from registry.keys import make_key
from registry.models import User
from tests.compliance.building import Cast, make_cast, make_person
from tests.compliance.test_organisation_licences import HOUSE, bundled, in_force

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def counsel(cast: Cast) -> User:
    return make_person(cast.organisation, "acme-lou", "legal_reviewer")


def put(folder: Path, **files: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.yaml").write_text(text)
    return str(folder)


def test_the_operators_folder_lies_over_the_bundled_and_under_the_organisations(
    cast: Cast, counsel: User, settings: Any, tmp_path: Path
) -> None:
    mine = bundled("mit").replace("title: MIT License", "title: MIT of the operator")
    settings.LICTOR_LICENCES = put(tmp_path / "own", mit=mine, house_1=HOUSE)
    organisation = cast.organisation

    found = selectors.library_for(organisation)
    assert (found.licences["mit"].title, found.licences["house-1"].title) == (
        "MIT of the operator",
        "House Licence",
    )
    assert {one.licence.key for one in selectors.entries(organisation) if one.origin != "bundled"}
    assert found.digest != bundled_library().digest

    row = in_force(cast, counsel, HOUSE.replace("House Licence", "Ours"))

    assert row.change == "override"
    assert selectors.library_for(organisation).licences["house-1"].title == "Ours"


def test_a_bad_folder_stops_the_start_with_every_fault_of_every_file(
    settings: Any, tmp_path: Path
) -> None:
    mit = bundled_library().licences["mit"].text_sha256[0]
    folder = put(
        tmp_path / "own",
        house_1=HOUSE.replace("status: read", "status: maybe"),
        house_2=HOUSE,
    )
    settings.LICTOR_LICENCES = folder

    [error] = run_checks(tags=["licences"])

    assert error.id == FOLDER_INVALID
    assert "house-1.yaml.status: must be one of" in error.msg
    assert "house-2.yaml.key: 'house-1' must equal the file's name" in error.msg
    settings.LICTOR_LICENCES = put(
        tmp_path / "two",
        house_1=HOUSE.replace("reviewed_by:", f"text_sha256: [{mit}]\nreviewed_by:"),
    )
    [error] = run_checks(tags=["licences"])
    assert "mit.text_sha256: is the text of 'house-1' too" in error.msg


def test_a_folder_that_is_missing_or_spelt_yml_stops_the_start(
    settings: Any, tmp_path: Path
) -> None:
    settings.LICTOR_LICENCES = str(tmp_path / "nowhere")
    assert "cannot be read" in run_checks(tags=["licences"])[0].msg
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "house-1.yml").write_text(HOUSE)

    settings.LICTOR_LICENCES = str(tmp_path / "own")

    assert "house-1.yml: rename it to house-1.yaml" in run_checks(tags=["licences"])[0].msg


def test_without_a_folder_nothing_stands_in_the_way() -> None:
    assert run_checks(tags=["licences"]) == []


def test_records_that_fit_no_more_stop_judging_but_can_be_retired(
    cast: Cast, counsel: User, settings: Any, tmp_path: Path
) -> None:
    digest = "a" * 64
    in_force(cast, counsel, HOUSE.replace("reviewed_by:", f"text_sha256: [{digest}]\nreviewed_by:"))
    rival = HOUSE.replace("house-1", "rival").replace(
        "reviewed_by:", f"text_sha256: [{digest}]\nreviewed_by:"
    )
    settings.LICTOR_LICENCES = put(tmp_path / "own", rival=rival)

    with pytest.raises(Conflict, match=r"rival\.text_sha256: is the text of 'house-1' too"):
        selectors.library_for(cast.organisation)
    row = licences.retire(cast.organisation, key="house-1", reason="x", actor=cast.legal)
    licences.approve(licences.propose(row, actor=cast.legal), actor=counsel)

    assert selectors.library_for(cast.organisation).get("rival") is not None

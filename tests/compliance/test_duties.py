"""Findings become work that somebody does and a machine or a person sees done."""

from typing import Any

import pytest

from compliance.rules.assessment import Assessment
from compliance.rules.catalogue import Library
from compliance.rules.duties import Duty, duties_of, open_duties, see_files, see_page
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import LicenceText, ModelFacts
from compliance.rules.notices import notice_bundle
from tests.compliance.build_facts import make_facts, make_use
from tests.compliance.build_licences import (
    make_clause,
    make_library,
    make_licence,
    with_evidence,
)

NOTICE = make_clause("notice_file", text="House is licensed by House Ltd")
TERMS = make_library(
    make_licence(
        "house-1",
        NOTICE,
        make_clause("licence_copy"),
        make_clause("badge", any_of=["Built with House"], when="made_available"),
        make_clause("user_threshold", limit=100_000),
        make_clause("unilateral_update"),
    )
)


def judge(library: Library = TERMS, *, out: bool = True, **model: Any) -> Assessment:
    purposes = ("redistribution",) if out else ("internal",)
    subject = ModelFacts(id="a/b", license="house-1", **model)
    return evaluate(make_facts(subject, use=make_use(purposes=purposes)), library)


def listed(judged: Assessment) -> tuple[Duty, ...]:
    return duties_of(judged.findings, TERMS, subject="a/b")


def duty(rule: str, **model: Any) -> Duty:
    return next(one for one in listed(judge(**model)) if one.rule == rule)


def test_what_goes_out_brings_duties() -> None:
    found = {one.rule: one.done for one in listed(judge())}

    assert found == {
        "notice_file": False,
        "licence_copy": False,
        "badge": False,
        "user_threshold": True,
        "unilateral_update": False,
    }


def test_an_internal_use_brings_only_what_is_to_be_watched() -> None:
    found = {one.rule for one in listed(judge(out=False))}

    assert found == {"user_threshold", "unilateral_update"}


def test_a_duty_keeps_its_key_when_it_is_judged_again() -> None:
    before, after = duty("badge"), duty("badge", evidence=with_evidence("badge_shown"))

    assert before.key == after.key
    assert (before.done, after.done) == (False, True)
    assert (before.due_days, after.due_days) == (14, 90)


def test_a_number_below_its_limit_is_looked_at_again_in_a_year() -> None:
    found = duty("user_threshold")

    assert (found.done, found.recurs_days, found.due_days) == (True, 365, 365)


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ({}, False),
        ({"README": "House is licensed by House Ltd"}, False),
        ({"NOTICE": "House is licensed by Horse Ltd"}, False),
        ({"NOTICE": None}, False),
        ({"docs/Notice.txt": "-- house is LICENSED by\nHouse Ltd. --"}, True),
    ],
)
def test_a_machine_sees_the_exact_notice(files: dict[str, str | None], kept: bool) -> None:
    assert see_files(duty("notice_file"), files).kept is kept


@pytest.mark.parametrize(
    ("files", "kept"), [({"LICENSE": "terms"}, True), ({"LICENSE": ""}, False), ({}, False)]
)
def test_a_machine_sees_the_copy(files: dict[str, str | None], kept: bool) -> None:
    assert see_files(duty("licence_copy"), files).kept is kept


@pytest.mark.parametrize(
    ("page", "kept"), [("… Built with House …", True), ("Built with Mouse", False)]
)
def test_a_machine_sees_the_badge(page: str, kept: bool) -> None:
    assert see_page(duty("badge"), page).kept is kept


def test_what_names_no_words_a_person_looks_at() -> None:
    assert see_page(duty("unilateral_update"), "any page").kept is None


def test_a_waived_finding_is_no_open_duty() -> None:
    judged = judge(evidence=with_evidence("badge_shown"))

    assert "badge" not in {one.rule for one in open_duties(listed(judged))}


def test_a_release_carries_the_notice_and_the_text_that_came_with_it() -> None:
    stored = LicenceText(path="LICENSE", text="The terms of House.\n")
    subject = ModelFacts(
        id="a/b", license="house-1", license_pin="house-1", licence_texts=(stored,)
    )
    facts = make_facts(subject, use=make_use(purposes=("redistribution",)))

    bundle = notice_bundle(evaluate(facts, TERMS), facts, TERMS)
    assert bundle.files["NOTICE"] == "House is licensed by House Ltd\n"
    assert bundle.files["LICENSES/house-1.txt"] == "The terms of House.\n"
    assert "“Built with House” has to be shown (section 1)." in bundle.files["ATTRIBUTION.md"]
    assert bundle.missing == ()


def test_a_text_that_nobody_stored_is_missing_and_not_made_up() -> None:
    facts = make_facts(ModelFacts(id="a/b", license="house-1"))

    bundle = notice_bundle(evaluate(facts, TERMS), facts, TERMS)
    assert "LICENSES/house-1.txt" not in bundle.files
    assert bundle.missing == (
        "LICENSES/house-1.txt: add the text as published; no copy came with the model (House-1).",
    )


def test_no_licence_that_asks_gives_no_notice() -> None:
    free = make_library(make_licence("house-1"))
    facts = make_facts(ModelFacts(id="a/b", license="house-1"))

    assert set(notice_bundle(evaluate(facts, free), facts, free).files) == {"ATTRIBUTION.md"}

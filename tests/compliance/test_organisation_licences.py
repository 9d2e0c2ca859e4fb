"""Check an organisation's own licence records: review, history, precedence, what they touch."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from compliance import selectors_licences as selectors
from compliance.models import LicenceRecord
from compliance.rules.library import bundled_library
from compliance.services import licences, pins
from registry.errors import BadInput, Conflict, Forbidden, RoleMissing, StaleState
from registry.errors import SeparationOfDuties as FourEyes
from registry.keys import make_key
from registry.models import LedgerEntry, User
from tests.compliance.building import Cast, make_cast, make_checkpoint, make_person

pytestmark = pytest.mark.django_db

HOUSE = """\
# Our own paper.
key: house-1
title: House Licence
family: house
licensor: Acme
declares:
  license_name: [house licence]
status: read
source: the contract of 2026-01-15
date_read: 2026-01-16
reviewed_by: Lena Legal
clauses:
  - id: nc
    kind: noncommercial
    section: "3"
    quote: You may not use the Model for money.
    trigger: use
    actor: licensee
    scope: model
    effect: prohibit
"""
NO_MONEY = """
  - id: no_money
    kind: noncommercial
    section: "9"
    quote: No money.
    trigger: use
    actor: licensee
    scope: model
    effect: prohibit
"""


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def counsel(cast: Cast) -> User:
    """Be the second legal reviewer: the first writes, this one decides."""
    return make_person(cast.organisation, "acme-lou", "legal_reviewer")


def bundled(key: str) -> str:
    text = selectors.base_text(key)
    assert text is not None
    return text


def proposal(cast: Cast, text: str) -> LicenceRecord:
    row = licences.draft(cast.organisation, text=text, reason="Counsel read it.", actor=cast.legal)
    return licences.propose(row, actor=cast.legal)


def in_force(cast: Cast, counsel: User, text: str) -> LicenceRecord:
    return licences.approve(proposal(cast, text), actor=counsel)


def faults_of(cast: Cast, text: str) -> list[dict[str, Any]]:
    with pytest.raises(BadInput) as caught:
        licences.draft(cast.organisation, text=text, reason="x", actor=cast.legal)
    assert caught.value.code == "licence_invalid"
    return list(caught.value.extra["lines"])


# How a record comes into force.


def test_an_added_licence_counts_once_a_second_person_approves_it(
    cast: Cast, counsel: User
) -> None:
    row = proposal(cast, HOUSE)
    assert selectors.library_for(cast.organisation).get("house-1") is None

    done = licences.approve(row, actor=counsel, reason="Read against the contract.")

    found = selectors.library_for(cast.organisation).get("house-1")
    assert found is not None
    assert (found.reviewed_by, found.clauses[0].quote) == (
        "Lena Legal",
        "You may not use the Model for money.",
    )
    assert (done.state, done.change, done.decided_by_name) == ("active", "add", counsel.username)


def test_another_organisation_keeps_the_bundled_catalogue(cast: Cast, counsel: User) -> None:
    in_force(cast, counsel, HOUSE)

    assert selectors.library_for(make_cast("other").organisation) is bundled_library()


def test_an_author_cannot_approve_or_refuse_their_own_proposal(cast: Cast) -> None:
    row = proposal(cast, HOUSE)

    with pytest.raises(FourEyes):
        licences.approve(row, actor=cast.legal)
    with pytest.raises(FourEyes):
        licences.refuse(row, actor=cast.legal, reason="no")


def test_the_database_itself_refuses_an_author_who_decides(cast: Cast) -> None:
    row = proposal(cast, HOUSE)

    with pytest.raises(IntegrityError), transaction.atomic():
        LicenceRecord.objects.filter(pk=row.pk).update(decided_by=cast.legal)


@pytest.mark.parametrize("field", ["document", "digest", "reason", "key", "author_name"])
def test_the_database_refuses_to_change_the_words(cast: Cast, field: str) -> None:
    row = proposal(cast, HOUSE)

    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        LicenceRecord.objects.filter(pk=row.pk).update(**{field: "something else"})


@pytest.mark.parametrize("who", ["submitter", "security", "operator"])
def test_only_a_legal_reviewer_writes_or_decides(cast: Cast, who: str) -> None:
    person, row = getattr(cast, who), proposal(cast, HOUSE)

    with pytest.raises(RoleMissing):
        licences.draft(cast.organisation, text=HOUSE, reason="x", actor=person)
    with pytest.raises(RoleMissing):
        licences.approve(row, actor=person)


def test_a_reviewer_of_another_organisation_approves_nothing(cast: Cast) -> None:
    with pytest.raises(RoleMissing):
        licences.approve(proposal(cast, HOUSE), actor=make_cast("other").legal)


def test_only_the_author_withdraws_and_then_nobody_approves(cast: Cast, counsel: User) -> None:
    row = proposal(cast, HOUSE)
    with pytest.raises(Forbidden):
        licences.withdraw(row, actor=counsel)

    licences.withdraw(row, actor=cast.legal)

    with pytest.raises(StaleState, match="withdrawn"):
        licences.approve(row, actor=counsel)


def test_a_refusal_needs_a_reason_and_is_final(cast: Cast, counsel: User) -> None:
    row = proposal(cast, HOUSE)
    with pytest.raises(BadInput, match="say why"):
        licences.refuse(row, actor=counsel, reason=" ")

    assert licences.refuse(row, actor=counsel, reason="Wrong contract.").state == "refused"

    with pytest.raises(StaleState, match="refused"):
        licences.approve(row, actor=counsel)


def test_a_draft_cannot_be_approved(cast: Cast, counsel: User) -> None:
    row = licences.draft(cast.organisation, text=HOUSE, reason="x", actor=cast.legal)

    with pytest.raises(StaleState, match="draft"):
        licences.approve(row, actor=counsel)


def test_every_move_is_in_the_ledger_with_author_approver_reason_and_digest(
    cast: Cast, counsel: User
) -> None:
    row = in_force(cast, counsel, HOUSE)

    entries = LedgerEntry.objects.filter(organisation=cast.organisation, subject="house-1")
    assert [(one.action, one.actor) for one in entries.order_by("seq")] == [
        ("licence.drafted", cast.legal.username),
        ("licence.proposed", cast.legal.username),
        ("licence.activated", counsel.username),
    ]
    said = entries.get(action="licence.activated").payload
    assert (said["digest"], said["author"]) == (row.digest, cast.legal.username)
    assert said["reason"] == "Counsel read it."
    assert said["catalogue_after"] == selectors.library_for(cast.organisation).digest


# Overriding, correcting, retiring.


def test_counsel_raises_a_second_hand_record_to_read(cast: Cast, counsel: User) -> None:
    key = "nvidia-community-model-2024-08"
    text = bundled(key).replace("status: second_hand", "status: read")
    text = text.replace("reviewed_by: null", "reviewed_by: Lena Legal")

    row = in_force(cast, counsel, text)

    entry = selectors.entry(cast.organisation, key)
    assert entry is not None
    assert (entry.licence.status, entry.counsel, entry.origin) == (
        "read", "Lena Legal", "organisation",
    )  # fmt: skip
    assert row.change == "override"
    [version] = selectors.history(cast.organisation, key)
    assert version.diff is not None
    assert [(one.name, one.before, one.after) for one in version.diff.fields] == [
        ("status", "second_hand", "read"),
        ("reviewed_by", "", "Lena Legal"),
    ]


def test_a_correction_supersedes_and_shows_what_it_changed_clause_by_clause(
    cast: Cast, counsel: User
) -> None:
    first = in_force(cast, counsel, HOUSE)
    second = in_force(cast, counsel, HOUSE.replace("for money", "for profit"))

    first.refresh_from_db()
    assert (first.state, second.state, second.number) == ("superseded", "active", 2)
    newest = selectors.history(cast.organisation, "house-1")[0]
    assert newest.diff is not None
    [clause] = newest.diff.clauses
    assert (clause.id, clause.change, clause.fields[0].name) == ("nc", "changed", "quote")
    assert [(piece.op, piece.text) for piece in clause.fields[0].redline] == [
        ("same", "You may not use the Model for"),
        ("gone", "money."),
        ("new", "profit."),
    ]


def test_retiring_an_override_brings_the_bundled_record_back(cast: Cast, counsel: User) -> None:
    in_force(cast, counsel, bundled("mit") + NO_MONEY)

    row = licences.retire(cast.organisation, key="mit", reason="Wrong.", actor=cast.legal)
    licences.approve(licences.propose(row, actor=cast.legal), actor=counsel)

    assert selectors.library_for(cast.organisation).digest == bundled_library().digest
    assert [one.record.state for one in selectors.history(cast.organisation, "mit")] == [
        "active",
        "superseded",
    ]


def test_what_is_not_overridden_cannot_be_retired(cast: Cast) -> None:
    with pytest.raises(Conflict, match="No record of Acme is in force for 'mit'"):
        licences.retire(cast.organisation, key="mit", reason="x", actor=cast.legal)


def test_a_licence_that_is_pinned_cannot_be_retired(cast: Cast, counsel: User) -> None:
    in_force(cast, counsel, HOUSE)
    model = make_checkpoint(cast, "acme/model")
    pins.pin_licence(model, licence_key="house-1", reason="the contract", actor=cast.legal)
    row = licences.retire(cast.organisation, key="house-1", reason="x", actor=cast.legal)
    licences.propose(row, actor=cast.legal)

    with pytest.raises(Conflict, match="pinned to acme/model"):
        licences.approve(row, actor=counsel)

    assert selectors.library_for(cast.organisation).get("house-1") is not None


def test_a_proposal_on_ground_that_moved_is_refused(cast: Cast, counsel: User) -> None:
    late = proposal(cast, HOUSE.replace("for money", "at all"))
    in_force(cast, counsel, HOUSE)

    with pytest.raises(StaleState, match="has changed since version 1"):
        licences.approve(late, actor=counsel)


def test_a_record_that_says_what_counts_already_is_refused(cast: Cast) -> None:
    with pytest.raises(BadInput) as caught:
        licences.draft(
            cast.organisation, text="# same\n" + bundled("mit"), reason="x", actor=cast.legal
        )

    assert caught.value.code == "licence_unchanged"


def test_an_edit_may_not_turn_one_licence_into_another(cast: Cast) -> None:
    with pytest.raises(BadInput, match="must stay 'mit'"):
        licences.draft(
            cast.organisation, text=HOUSE, reason="x", actor=cast.legal, expected_key="mit"
        )


# What is refused, and where.


def test_all_faults_come_at_once_each_with_its_line(cast: Cast) -> None:
    text = HOUSE.replace("status: read", "status: maybe").replace("kind: noncommercial", "kind: x")

    found = faults_of(cast, text.replace("    section:", "    chapter:"))

    assert [(one["place"], one["line"]) for one in found] == [
        ("status", 8),
        ("clauses[0].chapter", 15),
        ("clauses[0].section", 13),
    ]


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("key: house-1\nkey: house-2\n", "(document)", 2),
        ("key: [\n", "(document)", 2),
        ("- a\n- b\n", "(document)", 1),
        (HOUSE.replace("key: house-1", "key: ../../etc"), "key", 2),
        (HOUSE.replace("key: house-1", "key: proposals"), "key", 2),
        (HOUSE.replace("status: read", "status: [read]"), "status", None),
        (HOUSE.replace("for money", "for \ud800"), "(document)", None),
        ("", "(document)", None),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    cast: Cast, text: str, place: str, line: int | None
) -> None:
    found = faults_of(cast, text)

    assert [one["place"] for one in found] == [place]
    assert line is None or found[0]["line"] == line


def test_a_text_that_belongs_to_another_key_is_refused_with_both_named(cast: Cast) -> None:
    mit = bundled_library().licences["mit"].text_sha256[0]
    text = HOUSE.replace("reviewed_by:", f"text_sha256: [{mit}]\nreviewed_by:")

    [found] = faults_of(cast, text)

    assert (found["place"], found["line"]) == ("text_sha256", 11)
    assert found["message"] == "is the text of 'mit' too"


def test_an_expansion_bomb_is_refused(cast: Cast) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [{', '.join(['*a'] * 9)}]\n" for n in range(40))

    [found] = faults_of(cast, bomb)

    assert "aliases" in found["message"]


# Cost and competition.


def test_an_unchanged_catalogue_costs_one_query_and_under_five_milliseconds(
    cast: Cast, counsel: User, django_assert_num_queries: Any
) -> None:
    in_force(cast, counsel, bundled("mit") + NO_MONEY)
    selectors.library_for(cast.organisation)

    with django_assert_num_queries(1):
        again = selectors.library_for(cast.organisation)
    times = []
    for _ in range(50):
        started = time.perf_counter()
        assert selectors.library_for(cast.organisation) is again
        times.append(time.perf_counter() - started)

    assert sorted(times)[len(times) // 2] < 0.005


def test_organisations_share_the_licences_that_they_have_in_common(
    cast: Cast, counsel: User
) -> None:
    in_force(cast, counsel, HOUSE)

    mine = selectors.library_for(cast.organisation).licences
    assert mine["mit"] is bundled_library().licences["mit"]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_approve_at_once_one_wins(cast: Cast, counsel: User) -> None:
    other = make_person(cast.organisation, "acme-lea", "legal_reviewer")
    row = proposal(cast, HOUSE)
    outcomes: list[str] = []
    gate = threading.Barrier(2)

    def approve(person: User) -> None:
        gate.wait()
        try:
            licences.approve(row, actor=person)
            outcomes.append("won")
        except StaleState:
            outcomes.append("lost")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=approve, args=(person,)) for person in (counsel, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["lost", "won"]
    assert LedgerEntry.objects.filter(action="licence.activated").count() == 1

"""Check how a policy is written, put in force and retired, and by whom."""

import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from compliance.models import PolicyVersion
from compliance.selectors_policies import active_version, difference, policy_for, previous
from compliance.services import policies, policy_dry_runs
from compliance.services.assess import assess
from registry.errors import (
    BadInput,
    Conflict,
    Duplicate,
    RoleMissing,
    SeparationOfDuties,
    StaleState,
)
from registry.keys import make_key
from registry.models import LedgerEntry
from tests.compliance.acting_policies import document, in_force, save
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Any) -> None:
    settings.LICTOR_KEYS = tmp_path
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def last_entry() -> LedgerEntry:
    return LedgerEntry.objects.order_by("-seq").first()


def test_a_version_is_numbered_and_written_to_the_ledger(cast: Cast) -> None:
    first, second = save(cast, document()), save(cast, document("condition"))

    assert (first.number, second.number) == (1, 2)
    assert first.state == "draft"
    assert last_entry().action == "policy.created"
    assert last_entry().subject == second.digest
    assert active_version(cast.organisation) is None


def test_a_broken_document_is_refused_with_every_place(cast: Cast) -> None:
    with pytest.raises(BadInput) as refused:
        save(cast, document("allow", "use.comercial"))

    assert refused.value.code == "policy_invalid"
    assert [fault.place for fault in refused.value.faults] == ["rules[0].then", "rules[0].when"]
    assert not PolicyVersion.objects.exists()


def test_the_same_words_are_no_new_version(cast: Cast) -> None:
    save(cast, document())

    with pytest.raises(Duplicate, match="Version 1 says exactly this"):
        save(cast, document())


def test_a_reason_is_asked_for(cast: Cast) -> None:
    with pytest.raises(BadInput, match="what the version changes"):
        policies.save(cast.organisation, document=document(), reason=" ", actor=cast.legal)


@pytest.mark.parametrize("role", ["submitter", "operator"])
def test_only_reviewers_write_and_activate(cast: Cast, role: str) -> None:
    row = save(cast, document())

    with pytest.raises(RoleMissing):
        save(cast, document("condition"), getattr(cast, role))
    with pytest.raises(RoleMissing):
        policies.activate(row, actor=getattr(cast, role))
    with pytest.raises(RoleMissing):
        policy_dry_runs.start(row, actor=getattr(cast, role))


def test_a_reviewer_of_another_organisation_moves_nothing_here(cast: Cast) -> None:
    row = save(cast, document())

    with pytest.raises(RoleMissing):
        policies.activate(row, actor=make_cast("other").legal)


def test_whoever_wrote_a_version_cannot_activate_it(cast: Cast) -> None:
    row = save(cast, document())

    with pytest.raises(SeparationOfDuties, match="somebody else has to activate"):
        policies.activate(row, actor=cast.legal)


def test_the_database_refuses_an_author_who_activates(cast: Cast) -> None:
    row = save(cast, document())

    with pytest.raises(DatabaseError), transaction.atomic():
        PolicyVersion.objects.filter(pk=row.pk).update(activated_by=cast.legal)


def test_whoever_activated_a_version_cannot_retire_it_alone(cast: Cast) -> None:
    row = in_force(cast, document())

    with pytest.raises(SeparationOfDuties, match="somebody else has to retire"):
        policies.retire(row, actor=cast.security)
    retired = policies.retire(row, actor=cast.legal)

    assert retired.state == "retired"
    assert last_entry().action == "policy.retired"
    assert policy_for(cast.organisation) is None


def test_one_version_is_in_force_and_an_old_one_can_come_back(cast: Cast) -> None:
    first, second = in_force(cast, document()), in_force(cast, document("condition"))
    first.refresh_from_db()

    assert (first.state, second.state) == ("retired", "active")
    assert (
        LedgerEntry.objects.get(action="policy.activated", subject=second.digest).payload[
            "replaces"
        ]
        == 1
    )

    policies.activate(first, actor=cast.security)
    second.refresh_from_db()
    assert second.state == "retired"
    assert active_version(cast.organisation) == first


def test_a_version_read_before_somebody_moved_it_is_not_moved(cast: Cast) -> None:
    row = in_force(cast, document())

    with pytest.raises(StaleState, match="moved by somebody else"):
        policies.retire(row, actor=cast.legal, version=1)
    with pytest.raises(StaleState, match="cannot become active"):
        policies.activate(row, actor=cast.security)


def test_failing_tests_block_activation_and_say_why(cast: Cast) -> None:
    tests = "tests: [{name: hosted, given: {target: {hosted: true}}, expect: {house: silent}}]\n"
    row = save(cast, document() + tests)

    with pytest.raises(Conflict, match="'hosted': house: fired, expected silent") as refused:
        policies.activate(row, actor=cast.security)

    assert refused.value.code == "policy_tests_fail"
    assert active_version(cast.organisation) is None


def test_the_words_of_a_version_cannot_be_changed(cast: Cast) -> None:
    row = save(cast, document())

    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        PolicyVersion.objects.filter(pk=row.pk).update(document=document("condition"))


def test_altered_words_judge_nothing(cast: Cast) -> None:
    row = in_force(cast, document())
    checkpoint = make_checkpoint(cast, "acme/model")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER compliance_policyversion_fixed")
        else:
            cursor.execute(
                "DROP TRIGGER compliance_policyversion_fixed ON compliance_policyversion"
            )
    PolicyVersion.objects.filter(pk=row.pk).update(document=document("condition"))

    with pytest.raises(Conflict) as refused:
        assess(checkpoint, USE, actor="test")

    assert refused.value.code == "policy_altered"


def test_the_difference_between_versions_is_shown_line_by_line(cast: Cast) -> None:
    first, second = save(cast, document()), save(cast, document("condition"))

    changed = [(line.sign, line.text.strip()) for line in difference(previous(second), second)]

    assert previous(first) is None
    assert ("-", 'then: "deny"') in changed
    assert ("+", 'then: "condition"') in changed
    assert {line.sign for line in difference(None, first)} == {"@", "+"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="an in-memory SQLite has one connection; run with DATABASE_URL of a PostgreSQL",
)
def test_of_two_people_at_once_one_activates_a_version(cast: Cast) -> None:
    row = save(cast, document())
    second = make_person(cast.organisation, "second", "security_reviewer")
    start, outcomes = threading.Barrier(2), []

    def move(person: Any) -> None:
        try:
            start.wait()
            outcomes.append(policies.activate(row, actor=person).activated_by_name)
        except StaleState:
            outcomes.append("too late")
        finally:
            connection.close()

    threads = [threading.Thread(target=move, args=[one]) for one in (cast.security, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) in (["acme-sam", "too late"], ["second", "too late"])
    assert LedgerEntry.objects.filter(action="policy.activated").count() == 1

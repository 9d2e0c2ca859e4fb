"""Check that the ledger is one chain under concurrent writers, and that no row can be changed."""

import threading
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from registry.errors import BadInput
from registry.ledger.append import append
from registry.ledger.chain import GENESIS
from registry.models import LedgerEntry, LedgerHead, Organisation, SignedRoot
from registry.signing import entry_of, sign_ledger


@pytest.fixture
def organisation(db: None) -> Organisation:
    return Organisation.objects.create(slug="acme", name="Acme")


def write(organisation: Organisation, subject: str = "s", **payload: Any) -> LedgerEntry:
    with transaction.atomic():
        return append(
            organisation, actor="erin", action="test.done", subject=subject, payload=payload
        )


def assert_one_chain(organisation: Organisation, count: int) -> None:
    rows = list(LedgerEntry.objects.filter(organisation=organisation).order_by("seq"))
    assert [row.seq for row in rows] == list(range(1, count + 1))
    assert rows[0].prev == GENESIS
    assert all(row.hash == entry_of(row).hash for row in rows)
    assert all(after.prev == before.hash for before, after in pairwise(rows))
    head = LedgerHead.objects.get(organisation=organisation)
    assert (head.seq, head.hash) == (rows[-1].seq, rows[-1].hash)


def test_entries_follow_each_other_from_the_genesis(organisation: Organisation) -> None:
    for number in range(3):
        write(organisation, number=number, half=0.5, text="ß", nested={"b": [1, None, True]})

    assert_one_chain(organisation, 3)


def test_each_organisation_has_a_chain_of_its_own(organisation: Organisation) -> None:
    other = Organisation.objects.create(slug="other", name="Other")
    write(organisation)
    write(other)
    write(organisation)

    assert_one_chain(organisation, 2)
    assert_one_chain(other, 1)


@pytest.mark.django_db(transaction=True)
def test_an_entry_outside_a_transaction_is_refused(organisation: Organisation) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        append(organisation, actor="erin", action="a", subject="s", payload={})

    assert not LedgerEntry.objects.exists()


@pytest.mark.parametrize("payload", [{"n": 2**53}, {"n": float("nan")}, {"b": b"bytes"}])
def test_what_canonical_json_cannot_hold_is_refused_and_moves_nothing(
    organisation: Organisation, payload: dict[str, Any]
) -> None:
    write(organisation)

    with pytest.raises(BadInput):
        write(organisation, **payload)

    assert_one_chain(organisation, 1)


@pytest.mark.django_db(transaction=True)
def test_a_change_that_fails_takes_its_entry_with_it(organisation: Organisation) -> None:
    write(organisation)

    def fail() -> None:
        with transaction.atomic():
            append(organisation, actor="erin", action="a", subject="s", payload={})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    write(organisation)
    assert_one_chain(organisation, 2)


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain(organisation: Organisation) -> None:
    start, failures = threading.Barrier(4), []

    def work(name: str) -> None:
        try:
            start.wait()
            for number in range(10):
                write(organisation, subject=f"{name}-{number}")
        except Exception as error:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(f"writer-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert_one_chain(organisation, 40)


def test_the_models_refuse_to_change_or_delete_entries(organisation: Organisation) -> None:
    row = write(organisation)

    for forbidden in (
        row.save,
        row.delete,
        LedgerEntry.objects.all().delete,
        lambda: LedgerEntry.objects.update(actor="mallory"),
        lambda: LedgerEntry.objects.bulk_update([row], ["actor"]),
    ):
        with pytest.raises(TypeError, match="never"), transaction.atomic():
            forbidden()

    assert_one_chain(organisation, 1)


@pytest.mark.parametrize("table", ["registry_ledgerentry", "registry_signedroot"])
@pytest.mark.parametrize("change", ["UPDATE {} SET at = 'then'", "DELETE FROM {}"])
def test_the_database_refuses_to_change_or_delete_rows(
    organisation: Organisation, keys: Any, table: str, change: str
) -> None:
    write(organisation)
    assert sign_ledger(organisation) is not None

    with (
        pytest.raises(DatabaseError, match="never changed or deleted"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change.format(table))

    assert_one_chain(organisation, 1)
    assert SignedRoot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_refusal_can_be_taken_back_and_put_in_place_again(organisation: Organisation) -> None:
    from registry.ledger import insert_only

    write(organisation)
    change = "UPDATE registry_ledgerentry SET actor = 'mallory'"
    insert_only.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(change)
    insert_only.install(connection)

    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(change)
    row = LedgerEntry.objects.get()
    assert row.actor == "mallory"
    assert row.hash != entry_of(row).hash

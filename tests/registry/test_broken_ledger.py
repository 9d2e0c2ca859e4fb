"""Check that a ledger changed behind the models is never signed, and holds up no other."""

import logging
from pathlib import Path

import pytest
from django.db import connection, transaction

from registry import signing, tasks
from registry.errors import Unavailable
from registry.ledger import insert_only
from registry.ledger.append import append
from registry.models import LedgerEntry, LedgerHead, Organisation, SignedRoot

pytestmark = pytest.mark.django_db


def write(organisation: Organisation, count: int) -> Organisation:
    for number in range(count):
        with transaction.atomic():
            payload = {"number": number}
            append(organisation, actor="erin", action="test", subject="s", payload=payload)
    return organisation


@pytest.fixture
def organisation(keys: Path) -> Organisation:
    return write(Organisation.objects.create(slug="acme", name="Acme"), 5)


def tamper(statement: str) -> None:
    """Change rows as an owner of the database could."""
    insert_only.remove(connection)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        insert_only.install(connection)


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE registry_ledgerentry SET actor = 'mallory' WHERE seq = 3", 3),
        ("UPDATE registry_ledgerentry SET seq = 9 WHERE seq = 2", 2),
        ("DELETE FROM registry_ledgerentry WHERE seq = 1", 1),
        ("DELETE FROM registry_ledgerentry WHERE seq = 5", 5),
        (f"UPDATE registry_ledgerentry SET prev = '{'a' * 64}' WHERE seq = 4", 4),
        (f"UPDATE registry_ledgerhead SET hash = '{'a' * 64}'", 6),
    ],
)
def test_a_changed_ledger_is_not_signed_and_the_entry_is_named(
    organisation: Organisation, statement: str, entry: int
) -> None:
    tamper(statement)

    with pytest.raises(Unavailable) as refusal:
        signing.sign_ledger(organisation)

    assert (refusal.value.code, refusal.value.extra["seq"]) == ("ledger_broken", entry)
    assert not SignedRoot.objects.exists()


def test_a_chain_rebuilt_behind_a_signed_root_is_not_signed(organisation: Organisation) -> None:
    signing.sign_ledger(organisation)
    tamper("DELETE FROM registry_ledgerentry")
    LedgerHead.objects.all().delete()
    write(organisation, 6)

    with pytest.raises(Unavailable, match="differ from what was signed") as refusal:
        signing.sign_ledger(organisation)

    assert refusal.value.extra["seq"] == 5
    assert LedgerEntry.objects.count() == 6


def test_a_broken_ledger_holds_up_no_other(
    organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    tamper("UPDATE registry_ledgerentry SET actor = 'mallory' WHERE seq = 3")
    whole = write(Organisation.objects.create(slug="zeta", name="Zeta"), 2)

    with caplog.at_level(logging.ERROR):
        tasks.sign_ledgers()
        tasks.sign_ledgers()

    assert [root.organisation for root in SignedRoot.objects.all()] == [whole]
    assert "broken at entry 3" in caplog.text

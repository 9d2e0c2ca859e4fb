"""Check that an export verifies offline and that one changed byte is found and named."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from registry import signing
from registry.errors import Unavailable
from registry.keys import key_path, make_key, private_key
from registry.ledger import insert_only
from registry.ledger.append import append
from registry.ledger.chain import SignedRoot as Root
from registry.ledger.chain import verify_root
from registry.ledger.export import Report, verify_export
from registry.models import LedgerEntry, Organisation, SignedRoot
from registry.tasks import sign_ledgers

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation(keys: Path) -> Organisation:
    return Organisation.objects.create(slug="acme", name="Acme")


def write(organisation: Organisation, count: int) -> None:
    for number in range(count):
        with transaction.atomic():
            append(
                organisation,
                actor="erin",
                action="test.done",
                subject=f"subject-{number}",
                payload={"number": number, "text": "ß – 漢", "half": 0.5, "none": None},
            )


def export(organisation: Organisation) -> bytes:
    return b"".join(signing.export(organisation))


def check(data: bytes) -> Report:
    return verify_export(io.BytesIO(data), private_key("ledger").public_key())


def test_an_export_verifies_against_the_key(organisation: Organisation) -> None:
    write(organisation, 5)

    report = check(export(organisation))

    assert report.problems == ()
    assert (report.org, report.count, report.key_trusted) == (str(organisation.pk), 5, True)


def test_the_export_of_an_empty_ledger_verifies_too(organisation: Organisation) -> None:
    report = check(export(organisation))

    assert report.is_intact
    assert report.count == 0


def test_an_export_holds_one_organisation_alone(organisation: Organisation) -> None:
    other = Organisation.objects.create(slug="other", name="Other")
    write(organisation, 2)
    write(other, 3)

    assert check(export(organisation)).count == 2
    assert str(other.pk).encode() not in export(organisation)


def test_any_flipped_byte_is_found(organisation: Organisation) -> None:
    write(organisation, 2)
    data = export(organisation)
    starts = [0, data.index(b"\n") + 1, data.index(b"\n", data.index(b"\n") + 1) + 1]

    for seq, start in list(enumerate(starts))[1:]:
        for offset in range(2, 160, 7):
            place = start + offset
            flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            report = check(flipped)
            assert not report.is_intact
            assert seq in {problem.seq for problem in report.problems}, (seq, offset)


def test_a_row_changed_behind_the_triggers_is_named_and_nothing_is_signed(
    organisation: Organisation,
) -> None:
    write(organisation, 4)
    insert_only.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE registry_ledgerentry SET actor = 'mallory' WHERE seq = 3")
    insert_only.install(connection)

    with pytest.raises(Unavailable, match="entry 3"):
        signing.export(organisation)

    assert not SignedRoot.objects.exists()


def test_a_root_is_signed_once_for_each_size(organisation: Organisation) -> None:
    write(organisation, 2)
    sign_ledgers()
    sign_ledgers()
    write(organisation, 1)
    sign_ledgers()

    rows = SignedRoot.objects.order_by("size")
    assert [row.size for row in rows] == [2, 3]
    for row in rows:
        fields: dict[str, Any] = {
            name: getattr(row, name) for name in ("size", "root", "head", "at", "kid", "signature")
        }
        root = Root(org=str(organisation.pk), **fields)
        assert verify_root(root, private_key("ledger").public_key())
        assert row.head == LedgerEntry.objects.get(seq=row.size).hash


def test_an_empty_ledger_has_no_root(organisation: Organisation) -> None:
    assert signing.sign_ledger(organisation) is None


def test_without_a_key_nothing_is_signed(settings: Any, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "absent"
    organisation = Organisation.objects.create(slug="acme", name="Acme")
    write(organisation, 1)

    with pytest.raises(Unavailable, match="init_keys"):
        signing.export(organisation)

    assert not SignedRoot.objects.exists()


def test_a_key_is_made_once_and_only_its_owner_can_read_it(keys: Path) -> None:
    before = key_path("ledger").read_bytes()

    assert make_key("ledger") is False
    assert key_path("ledger").read_bytes() == before
    assert key_path("ledger").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="unknown key"):
        key_path("../ledger")

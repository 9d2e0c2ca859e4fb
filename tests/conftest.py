"""Give every test its keys and folders, and a database that real threads can share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import TransactionTestCase

from registry.ledger import insert_only


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep SQLite's test database in a file: one in memory has no locks that threads can wait for.

    Names the database anew for each session, so that two sessions never meet.
    """
    if connection.vendor == "sqlite":
        folder = tmp_path_factory.mktemp("database")
        connection.settings_dict["TEST"]["NAME"] = str(folder / "test.sqlite3")
    else:
        connection.settings_dict["TEST"]["NAME"] = f"test_lictor_{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let no late thread of the live server keep PostgreSQL from dropping the test database."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True, scope="session")
def _flush_may_empty_the_ledger() -> Iterator[None]:
    """Lift the insert-only triggers while a transactional test's database is emptied."""
    flush = TransactionTestCase._fixture_teardown

    def lifted(case: Any) -> None:
        insert_only.remove(connection)
        try:
            flush(case)
        finally:
            insert_only.install(connection)

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", lifted)
    yield
    patch.undo()


@pytest.fixture
def keys(settings: Any, tmp_path: Path) -> Path:
    """Make the installation's keys in a folder of this test."""
    from registry.keys import make_key

    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")
    make_key("permit")
    return Path(settings.LICTOR_KEYS)


@pytest.fixture
def blobs(settings: Any, tmp_path: Path) -> Path:
    """Give the test a content store of its own."""
    settings.LICTOR_BLOBS = tmp_path / "blobs"
    return Path(settings.LICTOR_BLOBS)

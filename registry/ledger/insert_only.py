"""Have the database itself refuse to change or delete the rows of the ledger.

The triggers guard against mistakes and against SQL that goes round the models. Who owns the
database can drop them: the hash chain and the signed roots are what shows that.
"""

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

TABLES: Final = ("registry_ledgerentry", "registry_signedroot")
_SAYS: Final = "ledger rows are never changed or deleted"

_POSTGRES_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION registry_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '{_SAYS}' USING ERRCODE = 'restrict_violation'; END $$
"""


def install(connection: BaseDatabaseWrapper) -> None:
    """Refuse UPDATE and DELETE from now on. Emptying whole tables (TRUNCATE) is left to owners."""
    with connection.cursor() as cursor:
        for statement in _install(connection.vendor):
            cursor.execute(statement)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away: when the migration is undone, and when a test database is emptied."""
    with connection.cursor() as cursor:
        for statement in _remove(connection.vendor):
            cursor.execute(statement)


def _install(vendor: str) -> list[str]:
    if vendor == "postgresql":
        triggers = [
            f"CREATE TRIGGER {table}_insert_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION registry_refuse_change()"
            for table in TABLES
        ]
        return [_POSTGRES_FUNCTION, *triggers]
    _require_sqlite(vendor)
    return [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{_SAYS}'); END"
        for table in TABLES
        for verb in ("UPDATE", "DELETE")
    ]


def _remove(vendor: str) -> list[str]:
    if vendor == "postgresql":
        dropped = [f"DROP TRIGGER IF EXISTS {table}_insert_only ON {table}" for table in TABLES]
        return [*dropped, "DROP FUNCTION IF EXISTS registry_refuse_change()"]
    _require_sqlite(vendor)
    return [
        f"DROP TRIGGER IF EXISTS {table}_no_{verb}"
        for table in TABLES
        for verb in ("update", "delete")
    ]


def _require_sqlite(vendor: str) -> None:
    if vendor != "sqlite":
        raise NotImplementedError(f"no insert-only triggers are written for {vendor}")

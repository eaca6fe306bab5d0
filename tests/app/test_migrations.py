"""A migrated database is the one the metadata describes, down to triggers, functions and grants."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text

from builders.house import lay_out
from turnup.app.house import schemas
from turnup.app.migrations.runner import head, upgrade
from turnup.kernel.errors import Conflict
from turnup.runtime.embedded import ConnectionInfo, create_database

CATALOG = {
    "columns": """
        SELECT table_schema || '.' || table_name || '.' || column_name, data_type, is_nullable,
               column_default, is_identity, is_generated
        FROM information_schema.columns WHERE table_schema = ANY(:schemas)""",
    "constraints": """
        SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace::regnamespace::text = ANY(:schemas)""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = ANY(:schemas)",
    "sequences": """
        SELECT schemaname || '.' || sequencename, start_value, increment_by FROM pg_sequences
        WHERE schemaname = ANY(:schemas)""",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace::regnamespace::text = ANY(:schemas)""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace::regnamespace::text = ANY(:schemas)""",
    "partitions": """
        SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits
        JOIN pg_class c ON c.oid = inhrelid WHERE relnamespace::regnamespace::text = ANY(:schemas)""",
    "grants": """
        SELECT c.oid::regclass::text, (aclexplode(relacl)).grantee::regrole::text AS grantee,
               (aclexplode(relacl)).privilege_type
        FROM pg_class c WHERE relnamespace::regnamespace::text = ANY(:schemas)""",
    "schema grants": """
        SELECT nspname, (aclexplode(nspacl)).grantee::regrole::text, (aclexplode(nspacl)).privilege_type
        FROM pg_namespace WHERE nspname = ANY(:schemas)""",
}


def catalog(url: str) -> dict[str, set[tuple[object, ...]]]:
    names = ["runtime", *(schema.name for schema in schemas())]
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            what: {tuple(row) for row in connection.execute(text(query), {"schemas": names})}
            for what, query in CATALOG.items()
        }
    engine.dispose()
    return {
        what: {row for row in rows if "schema_revision" not in str(row[0])} for what, rows in found.items()
    }


@pytest.fixture(scope="module")
def migrated(postgres: ConnectionInfo, make_template: Callable[..., str]) -> str:
    return postgres.url(make_template("migrated", lambda url: upgrade(url) and None))


@pytest.fixture(scope="module")
def laid_out(postgres: ConnectionInfo, make_template: Callable[..., str]) -> str:
    return postgres.url(make_template("laid_out", lambda url: lay_out(url, schemas())))


@pytest.mark.parametrize("what", CATALOG)
def test_migrations_and_metadata_say_the_same(migrated: str, laid_out: str, what: str) -> None:
    """Red after a change of tables? `python -m turnup.app.migrations.freeze` (see its docstring)."""
    by_migration, by_metadata = catalog(migrated)[what], catalog(laid_out)[what]
    assert by_migration == by_metadata
    assert by_metadata or what == "partitions"


def test_migrating_again_does_nothing(database_url: str) -> None:
    assert upgrade(database_url)
    assert not upgrade(database_url)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM runtime.schema_revision")) == head()
        connection.execute(text("UPDATE runtime.schema_revision SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Conflict, match="9999"):
        upgrade(database_url)


def test_many_at_once_migrate_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(upgrade, [database_url] * 4)) == [False, False, False, True]


def test_a_database_without_history_is_refused(laid_out: str) -> None:
    with pytest.raises(Conflict, match="without migrations"):
        upgrade(laid_out)


def test_other_databases_of_the_server_share_the_roles(postgres: ConnectionInfo, migrated: str) -> None:
    create_database(postgres, "second_installation")
    assert upgrade(postgres.url("second_installation"))
    assert catalog(migrated) == catalog(postgres.url("second_installation"))

"""Lays out the database: a schema and a role per component, tables, grants, and the runtime's own tables.

`install` writes what the metadata says now; released installations are brought forward by the frozen
migrations (app/migrations), and a test keeps the two equal.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_mock_engine, text
from sqlalchemy.dialects import postgresql

from turnup.runtime import durable, tables
from turnup.runtime.component import Schema
from turnup.runtime.database import role_of

_SETUP_LOCK = 715_011_970
"""Roles belong to the cluster, not the database: two databases set up at once must not collide."""


def install(engine: Engine, url: str, schemas: Sequence[Schema]) -> None:
    """Create everything on an empty database. Idempotent for roles and grants."""
    durable.migrate(url)
    with engine.begin() as connection:
        lock_setup(connection)
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS runtime"))
        tables.metadata.create_all(connection)
        for statement in tables.DDL:
            connection.exec_driver_sql(statement)
        connection.execute(
            text("INSERT INTO runtime.sequencer (id, last_position) VALUES (1, 0) ON CONFLICT DO NOTHING")
        )
        for schema in schemas:
            _install_component(connection, schema)


def lock_setup(connection: Connection) -> None:
    """One layout at a time, until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SETUP_LOCK})


def layout_statements(schemas: Sequence[Schema]) -> list[str]:
    """What `install` does on an empty database, as SQL text; without DBOS's own tables."""
    statements = ["CREATE SCHEMA IF NOT EXISTS runtime", *_creation(tables.metadata), *tables.DDL]
    statements.append("INSERT INTO runtime.sequencer (id, last_position) VALUES (1, 0)")
    for schema in schemas:
        role = role_of(schema.name)
        statements += [
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
            f' THEN CREATE ROLE "{role}" NOLOGIN; END IF; END $$',
            f'GRANT "{role}" TO CURRENT_USER',
            f'CREATE SCHEMA "{schema.name}"',
            f'GRANT USAGE ON SCHEMA "{schema.name}" TO "{role}"',
            *_creation(schema.metadata),
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema.name}" TO "{role}"',
            f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema.name}" TO "{role}"',
            *schema.ddl,
        ]
    return [statement.strip() for statement in statements]


def _creation(metadata: MetaData) -> list[str]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    found: list[str] = []

    def note(statement: Any, *_: Any, **__: Any) -> None:
        found.append(str(statement.compile(dialect=dialect)))

    metadata.create_all(create_mock_engine("postgresql+psycopg://", note), checkfirst=False)
    together = groupby(found, lambda statement: " INDEX " in statement.split(" ON ")[0])
    # a table's indexes are a set: the same metadata must give the same text
    return [text for indexes, run in together for text in (sorted(run) if indexes else run)]


def _install_component(connection: Connection, schema: Schema) -> None:
    role = role_of(schema.name)
    ensure_role(connection, role)
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema.name}"'))
    connection.execute(text(f'GRANT USAGE ON SCHEMA "{schema.name}" TO "{role}"'))
    schema.metadata.create_all(connection)
    connection.execute(
        text(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema.name}" TO "{role}"')
    )
    connection.execute(text(f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema.name}" TO "{role}"'))
    for statement in schema.ddl:
        connection.exec_driver_sql(statement)


def ensure_role(connection: Connection, role: str) -> None:
    """Create a role without login unless it is there, and let the connecting role act as it."""
    known = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    if not known:
        connection.execute(text(f'CREATE ROLE "{role}" NOLOGIN'))
    connection.execute(text(f'GRANT "{role}" TO CURRENT_USER'))

"""Lays out the database: a schema and a role per component, tables, grants, and the runtime's own tables.

`install` writes what the metadata says now; released installations are brought forward by the frozen
migrations (app/migrations), and a test keeps the two equal.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, text

from turnup.runtime import durable, tables
from turnup.runtime.component import Schema
from turnup.runtime.database import role_of

_SETUP_LOCK = 715_011_970
"""Roles belong to the cluster, not the database: two databases set up at once must not collide."""


def install(engine: Engine, url: str, schemas: Sequence[Schema]) -> None:
    """Create everything on an empty database. Idempotent for roles and grants."""
    durable.migrate(url)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SETUP_LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS runtime"))
        tables.metadata.create_all(connection)
        connection.execute(
            text("INSERT INTO runtime.sequencer (id, last_position) VALUES (1, 0) ON CONFLICT DO NOTHING")
        )
        for schema in schemas:
            _install_component(connection, schema)


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

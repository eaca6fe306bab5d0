"""What the database says about an installation's health; facts only, `app.doctor` judges them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

VERSION_SCHEMA = "runtime"
VERSION_TABLE = "schema_revision"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The PostgreSQL server. `version` as in server_version_num: 160004 is 16.4."""

    version: int
    now: datetime
    connections_max: int
    """Connections that ordinary roles may open, all together."""
    may_create_roles: bool
    laid_out: bool


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker that has neither stopped nor been taken over."""

    worker_id: str
    version: str
    silent_s: float


def server(connection: Connection) -> ServerFacts:
    row = connection.execute(
        text("""SELECT current_setting('server_version_num')::int, clock_timestamp(),
                       current_setting('max_connections')::int
                         - current_setting('superuser_reserved_connections')::int,
                       (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user),
                       to_regclass('runtime.sequencer') IS NOT NULL""")
    ).one()
    return ServerFacts(*row)


def workers(connection: Connection) -> list[WorkerFacts]:
    rows = connection.execute(
        text("""SELECT worker_id, version,
                       EXTRACT(epoch FROM clock_timestamp() - heartbeat_at)::float AS silent_s
                FROM runtime.worker WHERE stopped_at IS NULL AND taken_over_by IS NULL ORDER BY started_at""")
    )
    return [WorkerFacts(*row) for row in rows]


def revision(connection: Connection) -> str | None:
    """The migration the database is at; None where none ever ran."""
    table = f"{VERSION_SCHEMA}.{VERSION_TABLE}"
    if connection.scalar(text("SELECT to_regclass(:table)"), {"table": table}) is None:
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {table}"))
    return found

"""The purge's record, and its batches: each deletes and counts in one transaction, as its owner's role."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects.postgresql import insert

from turnup.runtime import faultpoint, metrics, tables
from turnup.runtime.database import role_of
from turnup.runtime.personal import Expiry, due, expire

_purge, _purged = tables.purge, tables.purged
OWN_SCHEMAS = ("runtime", "dbos")
"""No component's: the connecting role works there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeView:
    """One purge and what it took away, rows by ``schema.table kind``."""

    id: str
    started_at: datetime
    finished_at: datetime | None
    actor: str
    rows: Mapping[str, int]


def begin(connection: Connection, purge_id: str, actor: str, now: datetime) -> bool:
    """False where this purge was begun before."""
    statement = insert(_purge).values(purge_id=purge_id, started_at=now, actor=actor)
    return bool(connection.execute(statement.on_conflict_do_nothing()).rowcount)


def finish(connection: Connection, purge_id: str, now: datetime) -> bool:
    """False where it was finished before."""
    statement = (
        update(_purge)
        .where(_purge.c.purge_id == purge_id, _purge.c.finished_at.is_(None))
        .values(finished_at=now)
    )
    return bool(connection.execute(statement).rowcount)


def count(connection: Connection, purge_id: str, what: str, before: datetime, rows: int) -> None:
    """Add to what this purge took away; in the transaction that took it."""
    statement = insert(_purged).values(purge_id=purge_id, what=what, before=before, rows=rows)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["purge_id", "what"], set_={"rows": _purged.c.rows + rows}
        )
    )
    metrics.purged.labels(what).inc(rows)


def purge_table(
    engine: Engine, schema: str, expiry: Expiry, *, purge_id: str, before: datetime, now: datetime
) -> int:
    """Take away what is due, a batch a transaction; killed in between, it is simply called again."""
    what, done = f"{schema}.{expiry.table} {expiry.kind}", 0
    while True:
        with engine.begin() as connection:
            if schema not in OWN_SCHEMAS:
                connection.exec_driver_sql(f"SET LOCAL ROLE {role_of(schema)}")
            rows = expire(connection, schema, expiry, before, now)
            connection.exec_driver_sql("RESET ROLE")
            if rows:
                count(connection, purge_id, what, before, rows)
        if not rows:
            return done
        faultpoint.reach("purge.batch")
        done += rows


def due_in(engine: Engine, schema: str, expiry: Expiry, before: datetime, now: datetime) -> int:
    """What a purge would take now."""
    with engine.connect() as connection:
        return due(connection, schema, expiry, before, now)


def view(connection: Connection, purge_id: str) -> PurgeView | None:
    return next(iter(_views(connection, purge_id)), None)


def last(connection: Connection, limit: int = 10) -> list[PurgeView]:
    """The newest first."""
    return _views(connection, None, limit)


def last_finished(connection: Connection) -> datetime | None:
    query = select(_purge.c.finished_at).where(_purge.c.finished_at.is_not(None))
    found: datetime | None = connection.scalar(query.order_by(_purge.c.finished_at.desc()).limit(1))
    return found


def _views(connection: Connection, purge_id: str | None, limit: int = 1) -> list[PurgeView]:
    query = select(_purge).order_by(_purge.c.started_at.desc(), _purge.c.purge_id.desc()).limit(limit)
    if purge_id is not None:
        query = query.where(_purge.c.purge_id == purge_id)
    rows = connection.execute(query).all()
    taken: dict[str, dict[str, int]] = {row.purge_id: {} for row in rows}
    for counted in connection.execute(select(_purged).where(_purged.c.purge_id.in_(list(taken)))):
        taken[counted.purge_id][counted.what] = counted.rows
    return [
        PurgeView(
            id=row.purge_id,
            started_at=row.started_at,
            finished_at=row.finished_at,
            actor=row.actor,
            rows=taken[row.purge_id],
        )
        for row in rows
    ]

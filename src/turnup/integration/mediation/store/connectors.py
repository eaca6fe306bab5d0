"""Connectors: the versions of their documents, their state, who works on one now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from turnup.integration.mediation import tables

_connector, _state = tables.connector, tables.connector_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The newest version of a document, and the connector's state."""

    name: str
    version: int
    document: Mapping[str, Any]
    imported_at: datetime
    imported_by: str
    sealed_credentials: bytes | None
    next_at: datetime | None
    last_run_at: datetime | None
    last_error: str | None


def kept(connection: Connection, name: str | None = None) -> list[Kept]:
    """Every connector in the version in force, by name; or the one."""
    newest = (
        select(_connector.c.name, func.max(_connector.c.version).label("version"))
        .group_by(_connector.c.name)
        .subquery()
    )
    statement = (
        select(
            *(_connector.c[each] for each in ("name", "version", "document", "imported_at", "imported_by")),
            *(_state.c[each] for each in ("sealed_credentials", "next_at", "last_run_at", "last_error")),
        )
        .join(newest, (newest.c.name == _connector.c.name) & (newest.c.version == _connector.c.version))
        .join(_state, _state.c.name == _connector.c.name)
        .order_by(_connector.c.name)
    )
    if name is not None:
        statement = statement.where(_connector.c.name == name)
    return [Kept(**row._mapping) for row in connection.execute(statement)]


def document(connection: Connection, name: str, version: int) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = connection.scalar(
        select(_connector.c.document).where(_connector.c.name == name, _connector.c.version == version)
    )
    return found


def add_version(
    connection: Connection, name: str, version: int, document: Mapping[str, Any], now: datetime, by: str
) -> None:
    connection.execute(
        insert(_connector).values(
            name=name, version=version, document=dict(document), imported_at=now, imported_by=by
        )
    )


def ensure_state(connection: Connection, name: str, next_at: datetime, *, from_now: bool) -> None:
    """The state of a new connector; of a known one, only when it is due next."""
    latest = select(func.coalesce(func.max(tables.fact.c.position), 0)).scalar_subquery() if from_now else 0
    connection.execute(
        insert(_state)
        .values(name=name, next_at=next_at, fact_position=latest, file_number=0)
        .on_conflict_do_update(index_elements=[_state.c.name], set_={"next_at": next_at})
    )


def due(connection: Connection, now: datetime) -> list[tuple[str, datetime]]:
    """(name, since when) of the connectors that are due; locked, those that others look at left out."""
    rows = connection.execute(
        select(_state.c.name, _state.c.next_at)
        .where(_state.c.next_at <= now)
        .order_by(_state.c.next_at)
        .with_for_update(skip_locked=True)
    )
    return [(row.name, row.next_at) for row in rows]


def set_next(connection: Connection, name: str, next_at: datetime) -> None:
    connection.execute(update(_state).where(_state.c.name == name).values(next_at=next_at))


def refused(connection: Connection, name: str, next_at: datetime, error: str) -> None:
    connection.execute(update(_state).where(_state.c.name == name).values(next_at=next_at, last_error=error))


def claim(connection: Connection, name: str, by: str, until: datetime, now: datetime) -> bool:
    """Whether `by` may work on it until then; the same again may, and so may anybody after that."""
    done = connection.execute(
        update(_state)
        .where(
            _state.c.name == name,
            or_(_state.c.claimed_until.is_(None), _state.c.claimed_until <= now, _state.c.claimed_by == by),
        )
        .values(claimed_by=by, claimed_until=until)
    )
    return bool(done.rowcount)


def finish(connection: Connection, name: str, by: str, now: datetime, error: str | None) -> None:
    connection.execute(
        update(_state)
        .where(_state.c.name == name, _state.c.claimed_by == by)
        .values(claimed_by=None, claimed_until=None, last_run_at=now, last_error=error)
    )


def set_credentials(connection: Connection, name: str, sealed: bytes | None) -> None:
    connection.execute(update(_state).where(_state.c.name == name).values(sealed_credentials=sealed))


def sealed_credentials(connection: Connection) -> list[tuple[str, bytes]]:
    rows = connection.execute(
        select(_state.c.name, _state.c.sealed_credentials).where(_state.c.sealed_credentials.is_not(None))
    )
    return [(row.name, bytes(row.sealed_credentials)) for row in rows]


def reseal(connection: Connection, name: str, old: bytes, new: bytes) -> int:
    """Replace unless somebody set another meanwhile; how many were."""
    return connection.execute(
        update(_state)
        .where(_state.c.name == name, _state.c.sealed_credentials == old)
        .values(sealed_credentials=new)
    ).rowcount

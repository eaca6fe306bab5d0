"""The catalog's SQL: versions in force at an instant, and the next version of a thing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Table, insert, or_, select, text, update

from turnup.bss.catalog import tables
from turnup.bss.catalog.model import PolicyVersion
from turnup.contracts.catalog import OfferingView

Parsed = dict[UUID, OfferingView]
"""Documents already parsed, by version; for committed ones only, they never change."""

_adapter = TypeAdapter(OfferingView)
_offering, _policy, _price = tables.offering, tables.policy, tables.price
_VERSION = (_offering.c.offering_id, _offering.c.valid_to)


def lock_publishing(connection: Connection) -> None:
    """One publication at a time: two of them must not both make version 2."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('catalog.publish'))"))


def offering(connection: Connection, parsed: Parsed, offering_id: UUID) -> OfferingView | None:
    found = _views(connection, parsed, _offering.c.offering_id == offering_id)
    return found[0] if found else None


def offering_in_force(connection: Connection, parsed: Parsed, code: str, at: datetime) -> OfferingView | None:
    found = _views(connection, parsed, _offering.c.code == code, _in_force(_offering, at))
    return found[0] if found else None


def latest_offering(connection: Connection, code: str) -> OfferingView | None:
    found = _views(connection, {}, _offering.c.code == code)
    return max(found, key=lambda view: view.version) if found else None


def offerings(connection: Connection, parsed: Parsed, at: datetime | None) -> list[OfferingView]:
    return _views(connection, parsed, *([] if at is None else [_in_force(_offering, at)]))


def offering_of_price(connection: Connection, price_id: UUID) -> UUID | None:
    found: UUID | None = connection.scalar(select(_price.c.offering_id).where(_price.c.price_id == price_id))
    return found


def add_offering(connection: Connection, view: OfferingView, *, author: str, at: datetime) -> None:
    """Insert the version and end the former one where it begins."""
    connection.execute(
        update(_offering)
        .where(_offering.c.code == view.code, _offering.c.valid_to.is_(None))
        .values(valid_to=view.valid_from)
    )
    connection.execute(
        insert(_offering).values(
            offering_id=view.id,
            code=view.code,
            version=view.version,
            valid_from=view.valid_from,
            document=_adapter.dump_python(view, mode="json"),
            author=author,
            published_at=at,
        )
    )
    if view.prices:
        connection.execute(
            insert(_price), [{"price_id": price.id, "offering_id": view.id} for price in view.prices]
        )


def latest_policy(connection: Connection, kind: str, code: str) -> PolicyVersion | None:
    row = connection.execute(
        select(_policy)
        .where(_policy.c.kind == kind, _policy.c.code == code)
        .order_by(_policy.c.version.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return PolicyVersion(
        kind=row.kind,
        code=row.code,
        version=row.version,
        valid_from=row.valid_from,
        document=row.document,
        author=row.author,
    )


def add_policy(connection: Connection, version: PolicyVersion, at: datetime) -> None:
    connection.execute(
        update(_policy)
        .where(_policy.c.kind == version.kind, _policy.c.code == version.code, _policy.c.valid_to.is_(None))
        .values(valid_to=version.valid_from)
    )
    connection.execute(
        insert(_policy).values(
            kind=version.kind,
            code=version.code,
            version=version.version,
            valid_from=version.valid_from,
            document=version.document,
            author=version.author,
            published_at=at,
        )
    )


def policies(connection: Connection, kind: str, at: datetime) -> dict[str, dict[str, object]]:
    rows = connection.execute(
        select(_policy.c.code, _policy.c.document).where(_policy.c.kind == kind, _in_force(_policy, at))
    )
    return {row.code: row.document for row in rows}


def _in_force(table: Table, at: datetime) -> ColumnElement[bool]:
    """Half-open; a version that was replaced at its own first instant was never in force."""
    return (table.c.valid_from <= at) & or_(table.c.valid_to.is_(None), table.c.valid_to > at)


def _views(connection: Connection, parsed: Parsed, *conditions: ColumnElement[bool]) -> list[OfferingView]:
    """Documents are read and parsed once per process; `valid_to`, which may still come, each time."""
    rows = connection.execute(
        select(*_VERSION).where(*conditions).order_by(_offering.c.code, _offering.c.version)
    ).all()
    _load(connection, parsed, [row.offering_id for row in rows if row.offering_id not in parsed])
    return [replace(parsed[row.offering_id], valid_to=row.valid_to) for row in rows]


def _load(connection: Connection, parsed: Parsed, missing: Sequence[UUID]) -> None:
    if not missing:
        return
    rows = connection.execute(
        select(_offering.c.offering_id, _offering.c.document).where(_offering.c.offering_id.in_(missing))
    )
    for row in rows:
        parsed[row.offering_id] = _adapter.validate_python(row.document)

"""The SQL of mediation."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from turnup.contracts.mediation import Quarantined
from turnup.integration.mediation import tables


def internal_id(connection: Connection, system: str, kind: str, external_id: str) -> UUID | None:
    found: UUID | None = connection.scalar(
        select(tables.crosswalk.c.internal_id).where(
            tables.crosswalk.c.system == system,
            tables.crosswalk.c.kind == kind,
            tables.crosswalk.c.external_id == external_id,
        )
    )
    return found


def add_link(connection: Connection, system: str, kind: str, external_id: str, internal: UUID) -> bool:
    """False when this external id is linked already."""
    statement = (
        insert(tables.crosswalk)
        .values(system=system, kind=kind, external_id=external_id, internal_id=internal)
        .on_conflict_do_nothing()
    )
    return bool(connection.execute(statement).rowcount)


def external_ids(connection: Connection, kind: str, internal: UUID) -> list[tuple[str, str]]:
    rows = connection.execute(
        select(tables.crosswalk.c.system, tables.crosswalk.c.external_id).where(
            tables.crosswalk.c.kind == kind, tables.crosswalk.c.internal_id == internal
        )
    )
    return [(row.system, row.external_id) for row in rows]


def add_taken_over(
    connection: Connection,
    system: str,
    external_id: str,
    service_id: UUID,
    monthly_net_minor: int | None,
    now: datetime,
) -> None:
    connection.execute(
        insert(tables.taken_over)
        .values(
            service_id=service_id,
            system=system,
            external_id=external_id,
            monthly_net_minor=monthly_net_minor,
            at=now,
        )
        .on_conflict_do_nothing()
    )


def taken_over(connection: Connection, system: str) -> list[tuple[str, UUID, int | None]]:
    """(external id, service, monthly net) of all that came from this system."""
    table = tables.taken_over
    rows = connection.execute(
        select(table.c.external_id, table.c.service_id, table.c.monthly_net_minor)
        .where(table.c.system == system)
        .order_by(table.c.external_id)
    )
    return [(row.external_id, row.service_id, row.monthly_net_minor) for row in rows]


def applied_hashes(connection: Connection, system: str, kind: str) -> dict[str, str]:
    rows = connection.execute(
        select(tables.applied.c.external_id, tables.applied.c.row_hash).where(
            tables.applied.c.system == system, tables.applied.c.kind == kind
        )
    )
    return {row.external_id: row.row_hash for row in rows}


def add_applied(
    connection: Connection, system: str, kind: str, hashes: Sequence[tuple[str, str]], now: datetime
) -> None:
    if hashes:
        connection.execute(
            insert(tables.applied).on_conflict_do_nothing(),
            [
                {
                    "system": system,
                    "kind": kind,
                    "external_id": external_id,
                    "row_hash": digest,
                    "applied_at": now,
                }
                for external_id, digest in hashes
            ],
        )


def replace_quarantine(
    connection: Connection, source: str, system: str, records: Sequence[Quarantined], now: datetime
) -> None:
    """What a source has in quarantine is what its last run left there."""
    connection.execute(delete(tables.quarantine).where(tables.quarantine.c.source == source))
    if records:
        connection.execute(
            insert(tables.quarantine),
            [
                {
                    "source": source,
                    "row": record.row,
                    "field": record.field,
                    "reason": record.reason,
                    "remedy": record.remedy,
                    "since": now,
                    "system": system,
                    "external_id": record.external_id,
                }
                for record in records
            ],
        )


def quarantined(connection: Connection) -> list[Quarantined]:
    rows = connection.execute(
        select(tables.quarantine).order_by(tables.quarantine.c.source, tables.quarantine.c.row)
    )
    return [
        Quarantined(
            source=row.source,
            row=row.row,
            field=row.field,
            reason=row.reason,
            remedy=row.remedy,
            raw="",
            external_id=row.external_id,
        )
        for row in rows
    ]

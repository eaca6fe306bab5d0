"""The SQL of reconciliation."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from turnup.contracts.reconciliation import FindingView
from turnup.integration.reconciliation import tables
from turnup.integration.reconciliation.model import Mismatch
from turnup.kernel.ids import FindingId, ServiceId, new_id

_OPEN = tables.finding.c.repaired_at.is_(None)


def keep(connection: Connection, mismatches: Sequence[Mismatch], now: datetime) -> None:
    """Open a finding for each that has none open, refresh what is known of the others."""
    if not mismatches:
        return
    statement = insert(tables.finding)
    latest = {
        name: statement.excluded[name]
        for name in ("detail", "monthly_minor", "currency", "owner", "repair", "safe", "seen_at")
    }
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["kind", "service_id", "element"],
            index_where=text("repaired_at IS NULL"),
            set_=latest,
        ),
        [
            {
                "finding_id": new_id(),
                "kind": found.kind,
                "service_id": found.service_id,
                "element": found.element,
                "service_number": found.number,
                "detail": found.detail,
                "monthly_minor": found.monthly_minor,
                "currency": found.currency,
                "owner": found.owner,
                "repair": found.repair.value or found.remedy,
                "safe": found.safe,
                "found_at": now,
                "seen_at": now,
            }
            for found in mismatches
        ],
    )


def open_keys(connection: Connection) -> dict[tuple[str, UUID, str], FindingId]:
    """Every open finding, dismissed ones included, by (kind, service, element)."""
    table = tables.finding.c
    rows = connection.execute(
        select(table.finding_id, table.kind, table.service_id, table.element).where(_OPEN)
    )
    return {(row.kind, row.service_id, row.element): FindingId(row.finding_id) for row in rows}


def dismissed_keys(connection: Connection) -> set[tuple[str, UUID, str]]:
    table = tables.finding.c
    rows = connection.execute(
        select(table.kind, table.service_id, table.element).where(_OPEN, table.dismissed_at.is_not(None))
    )
    return {(row.kind, row.service_id, row.element) for row in rows}


def close(connection: Connection, ids: Sequence[FindingId], now: datetime, by: str) -> None:
    if ids:
        connection.execute(
            update(tables.finding)
            .where(tables.finding.c.finding_id.in_(ids), _OPEN)
            .values(repaired_at=now, repaired_by=by)
        )


def dismiss(connection: Connection, finding_id: FindingId, now: datetime, by: str, reason: str) -> bool:
    """False if there is no such open finding."""
    done = connection.execute(
        update(tables.finding)
        .where(tables.finding.c.finding_id == finding_id, _OPEN)
        .values(dismissed_at=now, dismissed_by=by, dismissed_reason=reason)
    )
    return bool(done.rowcount)


def views(
    connection: Connection, *, open_only: bool, ids: Sequence[FindingId] | None = None
) -> list[FindingView]:
    """The latest first; `open_only` leaves out what is repaired or dismissed."""
    statement = select(tables.finding).order_by(tables.finding.c.found_at.desc(), tables.finding.c.finding_id)
    if open_only:
        statement = statement.where(_OPEN, tables.finding.c.dismissed_at.is_(None))
    if ids is not None:
        statement = statement.where(tables.finding.c.finding_id.in_(ids))
    return [_view(row) for row in connection.execute(statement)]


def _view(row: Row[tuple[object, ...]]) -> FindingView:
    return FindingView(
        id=FindingId(row.finding_id),
        kind=row.kind,
        service_id=ServiceId(row.service_id),
        service_number=row.service_number,
        detail=row.detail,
        monthly_minor=row.monthly_minor,
        currency=row.currency,
        owner=row.owner,
        repair=row.repair,
        safe=row.safe,
        found_at=row.found_at,
        repaired_at=row.repaired_at,
    )

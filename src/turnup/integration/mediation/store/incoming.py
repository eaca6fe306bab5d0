"""Incoming files and their rows; what the connectors know of what they applied."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from turnup.contracts.mediation import FileCounts, QuarantinedRow, RemoteFile, TakenFile
from turnup.integration.mediation import tables
from turnup.integration.mediation.model import FileState, Mode, Outcome, RawRow, RowState

_file, _row, _seen, _applied = tables.taken_file, tables.raw_row, tables.seen_file, tables.applied


# --- polls -----------------------------------------------------------------------------------------------


def seen_files(connection: Connection, connector: str) -> dict[str, tuple[int, int, datetime]]:
    rows = connection.execute(select(_seen).where(_seen.c.connector == connector))
    return {row.name: (row.size, row.changed_at, row.since) for row in rows}


def note_seen(connection: Connection, connector: str, files: Sequence[RemoteFile], now: datetime) -> None:
    """What a poll saw; a file that is as before keeps its `since`, one that is gone is forgotten."""
    names = [file.name for file in files]
    connection.execute(delete(_seen).where(_seen.c.connector == connector, _seen.c.name.not_in(names)))
    for file in files:
        fresh = insert(_seen).values(
            connector=connector, name=file.name, size=file.size, changed_at=file.changed_at, since=now
        )
        connection.execute(
            fresh.on_conflict_do_update(
                index_elements=[_seen.c.connector, _seen.c.name],
                set_={"size": file.size, "changed_at": file.changed_at, "since": now},
                where=(_seen.c.size != file.size) | (_seen.c.changed_at != file.changed_at),
            )
        )


# --- files -----------------------------------------------------------------------------------------------


def add_file(connection: Connection, values: Mapping[str, Any], rows: Sequence[RawRow]) -> None:
    """The file and all its rows; a file that is known stays as it is, one that was refused starts anew."""
    added = connection.scalar(
        insert(_file)
        .values(dict(values))
        .on_conflict_do_update(
            index_elements=[_file.c.file_id],
            set_={**values, "acknowledged_at": None, "filed_at": None},
            where=_file.c.state == FileState.REFUSED.value,
        )
        .returning(_file.c.file_id)
    )
    if added is not None and rows:
        connection.execute(
            insert(_row),
            [
                {
                    "file_id": values["file_id"],
                    "n": row.n,
                    "state": RowState.CAPTURED.value,
                    "raw": dict(row.raw),
                    "broken": row.broken,
                    "changed_at": values["taken_at"],
                }
                for row in rows
            ],
        )


def file(connection: Connection, file_id: UUID) -> TakenFile | None:
    found = _files(connection, _file.c.file_id == file_id)
    return found[0] if found else None


def files(connection: Connection, connector: str | None, limit: int) -> list[TakenFile]:
    """The latest first."""
    return _files(connection, True if connector is None else _file.c.connector == connector, limit)


def unfinished(connection: Connection, connector: str) -> list[TakenFile]:
    """Those whose rows wait, that are not acknowledged or not filed; the oldest first."""
    undone = (
        (_file.c.state == FileState.CAPTURED.value)
        | _file.c.acknowledged_at.is_(None)
        | _file.c.filed_at.is_(None)
    )
    found = _files(connection, (_file.c.connector == connector) & undone)
    return [each for each in reversed(found) if each.mode == Mode.LIVE.value or each.state == "captured"]


def _files(connection: Connection, where: Any, limit: int = 1000) -> list[TakenFile]:
    rows = connection.execute(
        select(_file).where(where).order_by(_file.c.taken_at.desc(), _file.c.name.desc()).limit(limit)
    ).all()
    states: dict[UUID, dict[RowState, int]] = {row.file_id: {} for row in rows}
    counted = connection.execute(
        select(_row.c.file_id, _row.c.state, func.count().label("n"))
        .where(_row.c.file_id.in_(list(states)))
        .group_by(_row.c.file_id, _row.c.state)
    )
    for each in counted:
        states[each.file_id][RowState(each.state)] = each.n
    return [_taken(row, states[row.file_id]) for row in rows]


def _taken(row: Row[Any], states: Mapping[RowState, int]) -> TakenFile:
    return TakenFile(
        id=row.file_id,
        connector=row.connector,
        version=row.version,
        name=row.name,
        sha256=row.sha256,
        mode=row.mode,
        state=row.state,
        reason=row.reason,
        counts=FileCounts.of(row.rows_read, {state.value: n for state, n in states.items()}),
        taken_at=row.taken_at,
        acknowledged_at=row.acknowledged_at,
        filed_at=row.filed_at,
    )


def lock_file(connection: Connection, file_id: UUID) -> None:
    """Until the transaction ends nobody else says that it is to be acknowledged again."""
    connection.execute(select(_file.c.file_id).where(_file.c.file_id == file_id).with_for_update())


def acknowledge_again(connection: Connection, row_id: int) -> None:
    """The counts of this row's file changed: it gets a new acknowledgement with the next run."""
    source = select(_row.c.file_id).where(_row.c.row_id == row_id).scalar_subquery()
    connection.execute(update(_file).where(_file.c.file_id == source).values(acknowledged_at=None))


def set_file(connection: Connection, file_id: UUID, **values: Any) -> None:
    connection.execute(update(_file).where(_file.c.file_id == file_id).values(**values))


# --- rows ------------------------------------------------------------------------------------------------


def waiting_rows(connection: Connection, file_id: UUID, limit: int) -> list[tuple[int, RawRow]]:
    """(id, row), the first of the file first."""
    rows = connection.execute(
        select(_row.c.row_id, _row.c.n, _row.c.raw, _row.c.broken)
        .where(_row.c.file_id == file_id, _row.c.state == RowState.CAPTURED.value)
        .order_by(_row.c.n)
        .limit(limit)
    )
    return [(row.row_id, RawRow(row.n, row.raw or {}, row.broken)) for row in rows]


def lock_row(connection: Connection, row_id: int, state: RowState) -> bool:
    """Whether the row is still in this state; locked until the transaction ends."""
    found = connection.scalar(
        select(_row.c.row_id).where(_row.c.row_id == row_id, _row.c.state == state.value).with_for_update()
    )
    return found is not None


def settle_row(
    connection: Connection, row_id: int, outcome: Outcome, owner: UUID | None, now: datetime
) -> None:
    """What became of it. Only a row in quarantine keeps what it says."""
    values: dict[str, Any] = {
        "state": outcome.state.value,
        "key": outcome.key,
        "field": outcome.field,
        "reason": outcome.reason,
        "remedy": outcome.remedy,
        "difference": outcome.difference,
        "changed_at": now,
    }
    if owner is not None:
        values["owner"] = owner
    if outcome.state is not RowState.QUARANTINED:
        values["raw"] = None
    connection.execute(update(_row).where(_row.c.row_id == row_id).values(**values))


def set_raw(connection: Connection, row_id: int, raw: Mapping[str, str]) -> None:
    """The row as a person corrected it; its shape is right now."""
    connection.execute(update(_row).where(_row.c.row_id == row_id).values(raw=dict(raw), broken=None))


def quarantined(
    connection: Connection, connector: str | None = None, row_id: int | None = None
) -> list[QuarantinedRow]:
    """Those that wait for a person, the oldest first; or the one. Rows of shadow runs are not among them."""
    statement = (
        select(_row, _file.c.connector, _file.c.name.label("file"))
        .join(_file, _file.c.file_id == _row.c.file_id)
        .where(_row.c.state == RowState.QUARANTINED.value, _file.c.mode == Mode.LIVE.value)
        .order_by(_row.c.row_id)
    )
    if connector is not None:
        statement = statement.where(_file.c.connector == connector)
    if row_id is not None:
        statement = statement.where(_row.c.row_id == row_id)
    return [
        QuarantinedRow(
            id=row.row_id,
            connector=row.connector,
            file=row.file,
            row=row.n,
            key=row.key,
            field=row.field,
            reason=row.reason or "",
            remedy=row.remedy,
            raw=row.raw or {},
            since=row.changed_at,
        )
        for row in connection.execute(statement)
    ]


def waiting(connection: Connection) -> dict[str, int]:
    """How many rows wait for a person, by connector; those of shadow runs do not."""
    rows = connection.execute(
        select(_file.c.connector, func.count().label("n"))
        .join(_row, _row.c.file_id == _file.c.file_id)
        .where(_row.c.state == RowState.QUARANTINED.value, _file.c.mode == Mode.LIVE.value)
        .group_by(_file.c.connector)
    )
    return {row.connector: row.n for row in rows}


def row_source(connection: Connection, row_id: int) -> tuple[UUID, RawRow] | None:
    """(file, row as it came)."""
    row = connection.execute(select(_row).where(_row.c.row_id == row_id)).first()
    return None if row is None else (row.file_id, RawRow(row.n, row.raw or {}, row.broken))


def rejected(connection: Connection, file_id: UUID) -> list[tuple[RawRow, Outcome]]:
    """Rows in quarantine or discarded, for the acknowledgement."""
    states = (RowState.QUARANTINED.value, RowState.DISCARDED.value)
    rows = connection.execute(
        select(_row).where(_row.c.file_id == file_id, _row.c.state.in_(states)).order_by(_row.c.n)
    )
    return [
        (
            RawRow(row.n, row.raw or {}, row.broken),
            Outcome(
                state=RowState(row.state),
                key=row.key,
                field=row.field,
                reason=row.reason,
                remedy=row.remedy,
            ),
        )
        for row in rows
    ]


def differences(connection: Connection, file_id: UUID) -> list[tuple[int, str]]:
    """(row, what it changed or would change)."""
    rows = connection.execute(
        select(_row.c.n, _row.c.difference)
        .where(_row.c.file_id == file_id, _row.c.difference.is_not(None))
        .order_by(_row.c.n)
    )
    return [(row.n, row.difference) for row in rows]


# --- what was applied ------------------------------------------------------------------------------------


def applied_hash(connection: Connection, system: str, kind: str, key: str) -> str | None:
    found: str | None = connection.scalar(
        select(_applied.c.row_hash).where(
            _applied.c.system == system, _applied.c.kind == kind, _applied.c.external_id == key
        )
    )
    return found


def set_applied(connection: Connection, system: str, kind: str, key: str, digest: str, now: datetime) -> None:
    connection.execute(
        insert(_applied)
        .values(system=system, kind=kind, external_id=key, row_hash=digest, applied_at=now)
        .on_conflict_do_update(
            index_elements=[_applied.c.system, _applied.c.kind, _applied.c.external_id],
            set_={"row_hash": digest, "applied_at": now},
        )
    )

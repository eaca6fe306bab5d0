"""The erasure register: who (ids only) used the right to erasure, and how far it is. It lies in a table and,
so that it outlives the books going back in time, in a file beside the data and one beside the backups.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from turnup.runtime import tables

FILE = "erasures.jsonl"

_erasure = tables.erasure


class ErasureState(StrEnum):
    ASKED = "asked"
    BLOCKED = "blocked"
    """Something has come into the way since it was asked; it is tried again every day."""
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """`changed`: rows by component and table; `kept`: where, why, until."""

    id: UUID
    party: UUID
    asked_by: str
    asked_at: datetime
    attempt: int
    tried_at: datetime
    state: ErasureState
    in_the_way: Sequence[str]
    documents_until: date | None
    changed: Mapping[str, Mapping[str, int]]
    kept: Sequence[Mapping[str, Any]]
    done_at: datetime | None
    again: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """A line of the file."""

    id: UUID
    party: UUID
    asked_by: str
    asked_at: datetime


def add(connection: Connection, new: Registered, *, now: datetime, again: bool = False) -> bool:
    """False where this person is in the register already."""
    statement = (
        insert(_erasure)
        .values(
            erasure_id=new.id,
            party_id=new.party,
            asked_by=new.asked_by,
            asked_at=new.asked_at,
            attempt=1,
            tried_at=now,
            state=ErasureState.ASKED.value,
            in_the_way=[],
            changed={},
            kept=[],
            again=again,
        )
        .on_conflict_do_nothing()
    )
    return bool(connection.execute(statement).rowcount)


def of_party(connection: Connection, party: UUID, *, lock: bool = False) -> Erasure | None:
    query = select(_erasure).where(_erasure.c.party_id == party)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _read(row)


def find(connection: Connection, erasure_id: UUID) -> Erasure | None:
    row = connection.execute(select(_erasure).where(_erasure.c.erasure_id == erasure_id)).one_or_none()
    return None if row is None else _read(row)


def listed(connection: Connection, *, open_only: bool = False) -> list[Erasure]:
    """The newest first."""
    query = select(_erasure).order_by(_erasure.c.asked_at.desc(), _erasure.c.erasure_id)
    if open_only:
        query = query.where(_erasure.c.state != ErasureState.DONE.value)
    return [_read(row) for row in connection.execute(query)]


def try_again(connection: Connection, erasure_id: UUID, now: datetime) -> int:
    """The next attempt's number."""
    statement = (
        update(_erasure)
        .where(_erasure.c.erasure_id == erasure_id)
        .values(attempt=_erasure.c.attempt + 1, tried_at=now, state=ErasureState.ASKED.value)
        .returning(_erasure.c.attempt)
    )
    attempt: int = connection.execute(statement).scalar_one()
    return attempt


def block(connection: Connection, erasure_id: UUID, in_the_way: Sequence[str], now: datetime) -> None:
    connection.execute(
        update(_erasure)
        .where(_erasure.c.erasure_id == erasure_id, _erasure.c.state == ErasureState.ASKED.value)
        .values(state=ErasureState.BLOCKED.value, in_the_way=list(in_the_way), tried_at=now)
    )


def finish(
    connection: Connection,
    erasure_id: UUID,
    *,
    changed: Mapping[str, Mapping[str, int]],
    kept: Sequence[Mapping[str, Any]],
    documents_until: date | None,
    now: datetime,
) -> bool:
    """False where it was finished before."""
    statement = (
        update(_erasure)
        .where(_erasure.c.erasure_id == erasure_id, _erasure.c.state != ErasureState.DONE.value)
        .values(
            state=ErasureState.DONE.value,
            in_the_way=[],
            changed={name: dict(rows) for name, rows in changed.items()},
            kept=[dict(each) for each in kept],
            documents_until=documents_until,
            done_at=now,
        )
    )
    return bool(connection.execute(statement).rowcount)


def to_try_again(
    connection: Connection, now: datetime, *, after: timedelta = timedelta(days=1)
) -> list[Erasure]:
    """Blocked since so long."""
    query = select(_erasure).where(
        _erasure.c.state == ErasureState.BLOCKED.value, _erasure.c.tried_at < now - after
    )
    return [_read(row) for row in connection.execute(query)]


# --- the file --------------------------------------------------------------------------------------------


class RegisterFiles:
    """The same lines in several folders; reading takes what any of them knows."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._paths = tuple(dict.fromkeys(folder / FILE for folder in folders))

    def note(self, entry: Registered) -> None:
        """On disk before anything is erased. Repeated, it adds nothing."""
        line = json.dumps(
            {
                "id": str(entry.id),
                "party": str(entry.party),
                "askedBy": entry.asked_by,
                "askedAt": entry.asked_at.isoformat(),
            }
        )
        for path in self._paths:
            if line not in (path.read_text(encoding="utf-8").splitlines() if path.exists() else ()):
                path.parent.mkdir(parents=True, exist_ok=True)
                _append(path, line)

    def entries(self) -> list[Registered]:
        """Each person once, the first first; a line that a crash left half is passed over."""
        found: dict[UUID, Registered] = {}
        for path in self._paths:
            for entry in _lines(path):
                found.setdefault(entry.party, entry)
        return list(found.values())


def _append(path: Path, line: str) -> None:
    whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{line}\n" if whole else f"\n{line}\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> Iterator[Registered]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            read = json.loads(line)
            yield Registered(
                UUID(read["id"]),
                UUID(read["party"]),
                read["askedBy"],
                datetime.fromisoformat(read["askedAt"]),
            )
        except (ValueError, KeyError, TypeError):
            continue


def _read(row: Row[Any]) -> Erasure:
    return Erasure(
        id=row.erasure_id,
        party=row.party_id,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        attempt=row.attempt,
        tried_at=row.tried_at,
        state=ErasureState(row.state),
        in_the_way=row.in_the_way,
        documents_until=row.documents_until,
        changed=row.changed,
        kept=row.kept,
        done_at=row.done_at,
        again=row.again,
    )

"""The books have gone back in time: who did it, what was lost, and whether a person has released them.

Until that release nothing of the installation runs by itself and nobody changes the books: every unit of work
asks the `Gate`, workers and collector wait at it. What the network has meanwhile is `app.restoration`'s to
compare; this module knows only the runtime's own tables and PostgreSQL's sequences.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, func, insert, select, text, update

from turnup.kernel.errors import Conflict
from turnup.runtime import tables

_restored = tables.restored

_LISTED_MAX = 500
"""So many lost events are kept one by one, of each kind that a person has to look at; all are counted."""
_LISTED = (
    "orders.OrderStateChanged",
    "billing.PaymentReceived",
    "billing.InvoicesPosted",
    "crm.AccountOpened",
)
_LATE_COMMITS = 10_000
"""Events get their number before they commit: so far below the books' last one, some may be missing."""
SKIPPED_BLINDLY = 100_000
"""Numbers left out of a sequence where nobody can say how far it had come."""


class AwaitingRelease(Conflict):
    """The installation was restored to an earlier time and waits for a named person's release."""

    code: ClassVar[str] = "awaiting_release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """One going back. `lost`: what the replaced books say came after; {"known": False} without them."""

    id: UUID
    target_at: datetime | None
    reached_at: datetime | None
    restored_at: datetime
    restored_by: str
    backup: str
    replaced: str | None
    freeze_id: UUID
    lost: Mapping[str, Any]
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None
    decisions: Mapping[str, Any] | None = None


def note(connection: Connection, restored: Restored) -> None:
    """Write down that the books have gone back; from this commit on they are closed."""
    connection.execute(
        insert(_restored).values(
            restored_id=restored.id,
            target_at=restored.target_at,
            reached_at=restored.reached_at,
            restored_at=restored.restored_at,
            restored_by=restored.restored_by,
            backup=restored.backup,
            replaced=restored.replaced,
            freeze_id=restored.freeze_id,
            lost=dict(restored.lost),
        )
    )


def history(connection: Connection) -> list[Restored]:
    """Every going back that these books remember, the oldest first; none in books older than the table."""
    if connection.scalar(select(func.to_regclass("runtime.restored"))) is None:
        return []
    rows = connection.execute(select(_restored).order_by(_restored.c.restored_at))
    return [_restored_of(row) for row in rows]


def waiting(connection: Connection) -> Restored | None:
    """The going back that nobody has released yet."""
    return next((each for each in reversed(history(connection)) if each.released_at is None), None)


def close(
    connection: Connection,
    restored_id: UUID,
    *,
    at: datetime,
    by: str,
    reason: str,
    decisions: Mapping[str, Any],
) -> bool:
    """Note the release; False if it was released before."""
    statement = (
        update(_restored)
        .where(_restored.c.restored_id == restored_id, _restored.c.released_at.is_(None))
        .values(released_at=at, released_by=by, release_reason=reason, decisions=dict(decisions))
    )
    return bool(connection.execute(statement).rowcount)


class Gate:
    """Asked by every unit of work. Once found open it stays so: going back needs the installation stopped."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open = False

    def refuse_closed(self) -> None:
        """Raises AwaitingRelease while nobody has released restored books."""
        if self._open:
            return
        found = self.closed_by()
        if found is not None:
            raise AwaitingRelease(
                f"the books were restored to {found.target_at or 'the newest state'} by {found.restored_by}; "
                "nobody has released them yet",
                remedy="compare and decide: turnup restore compare, then turnup restore release",
            )
        self._open = True

    def closed_by(self) -> Restored | None:
        with self._engine.connect() as connection:
            return waiting(connection)


# --- what was lost ---------------------------------------------------------------------------------------


def last_event(connection: Connection) -> int:
    """The highest number an event of these books has."""
    return connection.scalar(select(func.max(tables.event.c.event_id))) or 0


def event_ids_above(connection: Connection, number: int) -> set[int]:
    return set(connection.scalars(select(tables.event.c.event_id).where(tables.event.c.event_id > number)))


def lost_events(replaced: Connection, books: Connection) -> Mapping[str, Any]:
    """What happened in the replaced books and is missing in the present ones: counts by type, and one by one
    what a person has to look at (ids and amounts; no personal data is in events)."""
    late = max(0, last_event(books) - _LATE_COMMITS)
    present = event_ids_above(books, late)
    event = tables.event
    rows = replaced.execute(
        select(event.c.event_id, event.c.type, event.c.aggregate_id, event.c.payload, event.c.occurred_at)
        .where(event.c.event_id > late)
        .order_by(event.c.event_id)
        .execution_options(yield_per=1000)
    )
    counts: Counter[str] = Counter()
    listed: list[dict[str, Any]] = []
    for row in rows:
        if row.event_id in present:
            continue
        counts[row.type] += 1
        if row.type in _LISTED and counts[row.type] <= _LISTED_MAX:
            listed.append(
                {
                    "type": row.type,
                    "at": row.occurred_at.isoformat(),
                    "id": str(row.aggregate_id),
                    "payload": row.payload,
                }
            )
    return {"events": dict(sorted(counts.items())), "listed": listed}


# --- numbers that people see -----------------------------------------------------------------------------


def sequences(connection: Connection) -> dict[str, int]:
    """Every sequence of the components and how far it has come."""
    rows = connection.execute(
        text("""SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences
                WHERE schemaname <> 'dbos' AND last_value IS NOT NULL""")
    )
    return {row[0]: int(row[1]) for row in rows}


def skip_numbers(connection: Connection, former: Mapping[str, int] | None) -> int:
    """Move every sequence behind what it had given away before the books went back, so that no number comes
    twice; blindly by SKIPPED_BLINDLY where `former` is None. Returns how many were moved."""
    moved = 0
    for name, here in sequences(connection).items():
        wanted = here + SKIPPED_BLINDLY if former is None else max(here, former.get(name, here))
        if wanted > here:
            connection.execute(
                text("SELECT setval(CAST(:name AS regclass), :value)"), {"name": name, "value": wanted}
            )
            moved += 1
    if former is not None:
        present = sequences(connection)
        for name, value in former.items():
            if name not in present:  # had given nothing away yet when the backup was taken
                connection.execute(
                    text("SELECT setval(CAST(:name AS regclass), :value)"), {"name": name, "value": value}
                )
                moved += 1
    return moved


def _restored_of(row: Row[Any]) -> Restored:
    return Restored(
        id=row.restored_id,
        target_at=row.target_at,
        reached_at=row.reached_at,
        restored_at=row.restored_at,
        restored_by=row.restored_by,
        backup=row.backup,
        replaced=row.replaced,
        freeze_id=row.freeze_id,
        lost=row.lost,
        released_at=row.released_at,
        released_by=row.released_by,
        release_reason=row.release_reason,
        decisions=row.decisions,
    )

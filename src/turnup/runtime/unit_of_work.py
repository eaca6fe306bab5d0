"""The unit of work: one transaction of one component with its events, workflow starts and audit entries.

Implements contracts.unit.Unit. Everything it collects is written at the end of the same transaction, so a
rollback leaves nothing, and nothing starts after a commit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from turnup.contracts.unit import Event
from turnup.runtime import metrics, telemetry
from turnup.runtime.audit import AuditEntry, write_audit
from turnup.runtime.events import PendingEvent, append_events

Enqueue = Callable[[Connection, str, str, tuple[str, ...]], None]
"""(connection, workflow, key, args): put a durable workflow on its queue in this transaction."""


@dataclass(frozen=True, slots=True)
class _Start:
    workflow: str
    key: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Savepoint:
    """How much a unit had collected; see `UnitOfWork.mark`."""

    events: int
    starts: int
    audits: int


class UnitOfWork:
    """See contracts.unit.Unit. Made by Database.unit only."""

    def __init__(
        self, connection: Connection, component: str, *, now: datetime, actor: str, enqueue: Enqueue
    ) -> None:
        self.connection = connection
        self.component = component
        self.now = now
        self.actor = actor
        self._enqueue = enqueue
        self._events: list[PendingEvent] = []
        self._starts: list[_Start] = []
        self._audits: list[AuditEntry] = []

    def emit(self, event: Event) -> None:
        self._events.append(PendingEvent.of(event))

    def start(self, workflow: str, key: str, *args: str) -> None:
        self._starts.append(_Start(workflow, key, args))

    def audit(self, action: str, subject: UUID | str, before: object = None, after: object = None) -> None:
        self._audits.append(AuditEntry(action=action, subject=str(subject), before=before, after=after))

    def mark(self) -> Savepoint:
        return Savepoint(len(self._events), len(self._starts), len(self._audits))

    def forget_since(self, mark: Savepoint) -> None:
        """Drop what was collected since the mark, after its savepoint was rolled back."""
        del self._events[mark.events :]
        del self._starts[mark.starts :]
        del self._audits[mark.audits :]

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A savepoint: if the block raises, what it wrote and collected is gone and the unit goes on."""
        mark = self.mark()
        savepoint = self.connection.begin_nested()
        try:
            yield
        except BaseException:
            savepoint.rollback()
            self.forget_since(mark)
            raise
        savepoint.commit()

    def flush(self) -> None:
        """Write what was collected, as the connecting role. Called once, by the edge, just before commit."""
        self.connection.exec_driver_sql("RESET ROLE")
        if self._events:
            append_events(
                self.connection,
                self._events,
                now=self.now,
                actor=self.actor,
                traceparent=telemetry.current_traceparent(),
            )
        if self._audits:
            write_audit(
                self.connection, self._audits, at=self.now, component=self.component, actor=self.actor
            )
        metrics.units.labels(self.component).inc()
        for start in self._starts:
            self._enqueue(self.connection, start.workflow, start.key, start.args)
        self._events, self._starts, self._audits = [], [], []

"""The event log: append with the aggregate's next version, sequence after commit, deliver exactly once.

Events are rows written in the transaction that caused them. One sequencer gives committed events their
position (identity order is not commit order). A consumer handles a batch, moves its cursor and writes its
effects in one transaction. An event that cannot be handled parks its aggregate alone, visibly.
"""

import importlib
import pkgutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

import turnup.contracts
from turnup.contracts.unit import Event
from turnup.runtime import metrics, telemetry

log = structlog.get_logger(__name__)

Handler = Callable[[Any, Any], None]
"""(unit, event) -> None; idempotent."""

_SEQUENCE_BATCH = 5_000
_DELIVER_BATCH = 100


@cache
def event_types() -> Mapping[str, type[Event]]:
    """Every event of every contract by its public name, ``provisioning.ServiceConfigured``."""
    for module in pkgutil.iter_modules(turnup.contracts.__path__, "turnup.contracts."):
        importlib.import_module(module.name)
    found: dict[str, type[Event]] = {}
    waiting: list[type[Event]] = list(Event.__subclasses__())
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        # A dataclass with slots is made twice; until it is collected, the first draft is a subclass, too.
        if getattr(sys.modules[cls.__module__], cls.__name__, None) is cls:
            found[event_name(cls)] = cls
    return found


def event_name(cls: type[Event]) -> str:
    return f"{cls.__module__.rsplit('.', 1)[1]}.{cls.__name__}"


_adapters: dict[str, TypeAdapter[Any]] = {}


def _adapter(cls: type[Event]) -> TypeAdapter[Any]:
    name = event_name(cls)
    if name not in _adapters:
        _adapters[name] = TypeAdapter(cls)
    return _adapters[name]


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event on its way into the log, already serialised so that later changes cannot reach it."""

    type: str
    schema_version: int
    aggregate_id: UUID
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, event: Event) -> "PendingEvent":
        kind = type(event)
        return cls(
            type=event_name(kind),
            schema_version=kind.version,
            aggregate_id=getattr(event, kind.aggregate),
            payload=_adapter(kind).dump_python(event, mode="json"),
        )


@dataclass(frozen=True, slots=True)
class StoredEvent:
    position: int
    type: str
    aggregate_id: UUID
    payload: Mapping[str, Any]
    traceparent: str | None

    def load(self) -> Event:
        """The typed event. Raises pydantic.ValidationError when the payload no longer fits its class."""
        loaded: Event = _adapter(event_types()[self.type]).validate_python(self.payload)
        return loaded


_TAKE_VERSIONS = text("""
    INSERT INTO runtime.aggregate AS a (aggregate_id, version) VALUES (:aggregate_id, :n)
    ON CONFLICT (aggregate_id) DO UPDATE SET version = a.version + :n
    RETURNING version
""")

_INSERT_EVENT = text("""
    INSERT INTO runtime.event
        (type, schema_version, aggregate_id, aggregate_version, payload, occurred_at, actor, traceparent)
    VALUES (:type, :schema_version, :aggregate_id, :aggregate_version, :payload, :occurred_at, :actor,
            :traceparent)
""").bindparams(bindparam("payload", type_=JSONB))


def append_events(
    connection: Connection,
    events: Sequence[PendingEvent],
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> None:
    """Insert events in the order given; versions are taken under each aggregate's row lock."""
    counts: dict[UUID, int] = {}
    for event in events:
        counts[event.aggregate_id] = counts.get(event.aggregate_id, 0) + 1
    next_version: dict[UUID, int] = {}
    for aggregate_id in sorted(counts):  # one locking order for all, so that two units cannot deadlock
        n = counts[aggregate_id]
        last = connection.scalar(_TAKE_VERSIONS, {"aggregate_id": aggregate_id, "n": n})
        next_version[aggregate_id] = last - n + 1 if last is not None else 1
    rows = []
    for event in events:
        metrics.events.labels(event.type).inc()
        version = next_version[event.aggregate_id]
        next_version[event.aggregate_id] = version + 1
        rows.append(
            {
                "type": event.type,
                "schema_version": event.schema_version,
                "aggregate_id": event.aggregate_id,
                "aggregate_version": version,
                "payload": event.payload,
                "occurred_at": now,
                "actor": actor,
                "traceparent": traceparent,
            }
        )
    connection.execute(_INSERT_EVENT, rows)


_LOCK_SEQUENCER = text("SELECT last_position FROM runtime.sequencer WHERE id = 1 FOR UPDATE SKIP LOCKED")
_NUMBER_EVENTS = text("""
    WITH fresh AS (
        SELECT event_id, :last + row_number() OVER (ORDER BY event_id) AS position
        FROM (SELECT event_id FROM runtime.event WHERE position IS NULL
              ORDER BY event_id LIMIT :batch) waiting
    ), numbered AS (
        UPDATE runtime.event e SET position = fresh.position FROM fresh
        WHERE e.event_id = fresh.event_id RETURNING e.position
    ), moved AS (
        UPDATE runtime.sequencer SET last_position = (SELECT max(position) FROM numbered)
        WHERE id = 1 AND EXISTS (SELECT 1 FROM numbered)
    )
    SELECT count(*) FROM numbered
""")
_ANY_WAITING = text("SELECT EXISTS (SELECT 1 FROM runtime.event WHERE position IS NULL)")


def sequence(connection: Connection) -> int:
    """Give the committed, unnumbered events their positions; returns how many. Needs its own transaction.

    Whoever holds the one sequencer row works; others return 0 at once.
    """
    if not connection.scalar(_ANY_WAITING):
        return 0
    last = connection.scalar(_LOCK_SEQUENCER)
    if last is None:
        return 0
    return connection.scalar(_NUMBER_EVENTS, {"last": last, "batch": _SEQUENCE_BATCH}) or 0


_LOCK_CONSUMER = text("SELECT position FROM runtime.consumer WHERE name = :name FOR UPDATE SKIP LOCKED")
_NEW_CONSUMER = text(
    "INSERT INTO runtime.consumer (name, position) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING"
)
_MOVE_CONSUMER = text("UPDATE runtime.consumer SET position = :position WHERE name = :name")
_FETCH = text("""
    SELECT position, type, aggregate_id, payload, traceparent FROM runtime.event
    WHERE position > :after AND position <= :upto AND type = ANY(:types)
    ORDER BY position LIMIT :batch
""")
_LAST_POSITION = text("SELECT last_position FROM runtime.sequencer WHERE id = 1")
_PARKED_AGGREGATES = text(
    "SELECT DISTINCT aggregate_id FROM runtime.parked WHERE consumer = :name AND aggregate_id = ANY(:ids)"
)
_PARK = text("""
    INSERT INTO runtime.parked (consumer, aggregate_id, position, error, parked_at)
    VALUES (:name, :aggregate_id, :position, :error, :at) ON CONFLICT DO NOTHING
""")
_PARKED_OF = text("""
    SELECT e.position, e.type, e.aggregate_id, e.payload, e.traceparent
    FROM runtime.parked p JOIN runtime.event e ON e.position = p.position
    WHERE p.consumer = :name AND p.aggregate_id = :aggregate_id ORDER BY e.position
""")
_UNPARK = text(
    "DELETE FROM runtime.parked"
    " WHERE consumer = :name AND aggregate_id = :aggregate_id AND position = :position"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one delivery did."""

    handled: int
    parked: int
    more: bool


_NOTHING = Batch(0, 0, more=False)


class Consumer:
    """Delivers the log to one component's handlers, in order, each event's effects exactly once."""

    def __init__(self, component: str, handlers: Mapping[type[Event], Handler], open_unit: Any) -> None:
        self.component = component
        self._handlers = {event_name(cls): handler for cls, handler in handlers.items()}
        self._open_unit = open_unit
        self._known_position = -1

    def deliver(self, last_position: int | None = None) -> Batch:
        """Handle up to one batch. `last_position` (of the sequencer), where the caller knows it, saves
        looking when there is nothing new."""
        if last_position is not None and last_position <= self._known_position:
            return _NOTHING
        try:
            return self._deliver(careful=False)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            return self._deliver(careful=True)
        except Exception:  # noqa: BLE001  any handler error: again, one by one, to find and park the poison
            return self._deliver(careful=True)

    def retry(self, aggregate_id: UUID) -> Batch:
        """Replay what is parked for one aggregate, in order, in one transaction; raises what still fails."""
        with self._open_unit(self.component, f"event:{self.component}") as unit:
            waiting = self._as_owner(unit, _PARKED_OF, name=self.component, aggregate_id=aggregate_id)
            events = [StoredEvent(*row) for row in waiting]
            for event in events:
                self._handle(unit, event)
                self._as_owner(
                    unit, _UNPARK, name=self.component, aggregate_id=aggregate_id, position=event.position
                )
        return Batch(len(events), 0, more=False)

    def _deliver(self, *, careful: bool) -> Batch:
        with self._open_unit(self.component, f"event:{self.component}") as unit:
            claimed = self._claim(unit)
            if claimed is None:
                return _NOTHING
            after, upto = claimed
            if after >= upto:
                self._known_position = upto
                return _NOTHING
            events = self._fetch(unit, after, upto)
            parked_ids = self._parked(unit, events)
            parked = 0
            for event in events:
                if event.aggregate_id in parked_ids:
                    self._park(unit, event, "waits behind an earlier parked event")
                    parked += 1
                elif not careful:
                    self._handle(unit, event)
                elif not self._handle_in_savepoint(unit, event):
                    parked_ids.add(event.aggregate_id)
                    parked += 1
            more = len(events) == _DELIVER_BATCH
            position = events[-1].position if more else upto
            self._as_owner(unit, _MOVE_CONSUMER, name=self.component, position=position)
        self._known_position = position
        return Batch(len(events) - parked, parked, more=more)

    def _claim(self, unit: Any) -> tuple[int, int] | None:
        """(after, upto), or None when another process is delivering to this consumer right now."""
        upto = self._as_owner(unit, _LAST_POSITION)[0][0]
        rows = self._as_owner(unit, _LOCK_CONSUMER, name=self.component)
        if not rows:
            self._as_owner(unit, _NEW_CONSUMER, name=self.component)
            rows = self._as_owner(unit, _LOCK_CONSUMER, name=self.component)
        return (rows[0][0], upto) if rows else None

    def _fetch(self, unit: Any, after: int, upto: int) -> list[StoredEvent]:
        rows = self._as_owner(
            unit, _FETCH, after=after, upto=upto, types=list(self._handlers), batch=_DELIVER_BATCH
        )
        return [StoredEvent(*row) for row in rows]

    def _parked(self, unit: Any, events: Sequence[StoredEvent]) -> set[UUID]:
        if not events:
            return set()
        rows = self._as_owner(
            unit, _PARKED_AGGREGATES, name=self.component, ids=[event.aggregate_id for event in events]
        )
        return {row[0] for row in rows}

    def _handle(self, unit: Any, event: StoredEvent) -> None:
        told = event.load()
        with (
            telemetry.continue_trace(event.traceparent, f"{self.component} <- {event.type}"),
            telemetry.bind(consumer=self.component, event_type=event.type, **_ids(told)),
        ):
            self._handlers[event.type](unit, told)

    def _handle_in_savepoint(self, unit: Any, event: StoredEvent) -> bool:
        try:
            with unit.attempt():
                self._handle(unit, event)
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            self._park(unit, event, f"{type(error).__name__}: {error}")
            log.exception(
                "event_parked", consumer=self.component, type=event.type, aggregate=str(event.aggregate_id)
            )
            return False
        return True

    def _park(self, unit: Any, event: StoredEvent, error: str) -> None:
        metrics.parked.labels(self.component).inc()
        self._as_owner(
            unit,
            _PARK,
            name=self.component,
            aggregate_id=event.aggregate_id,
            position=event.position,
            error=error[:2000],
            at=unit.now,
        )

    def _as_owner(self, unit: Any, statement: Any, **parameters: object) -> list[Any]:
        """Run a statement of the runtime's own inside the component's transaction."""
        unit.connection.execute(_RESET_ROLE)
        result = unit.connection.execute(statement, parameters)
        rows = list(result) if result.returns_rows else []
        unit.connection.execute(_SET_ROLE, {"role": f"turnup_{self.component}"})
        return rows


def _ids(event: Event) -> dict[str, object]:
    """The ids an event carries, by their names: service_id, order_id and the like."""
    values = {field.name: getattr(event, field.name) for field in fields(event) if field.name.endswith("_id")}
    return {name: value for name, value in values.items() if value is not None}


_RESET_ROLE = text("RESET ROLE")
_SET_ROLE = text("SELECT set_config('role', :role, true)")


class EventPump(threading.Thread):
    """Sequences and delivers, all consumers in one thread, until stopped. Runs in the worker process."""

    def __init__(
        self,
        begin: Callable[[], Any],
        consumers: Sequence[Consumer],
        *,
        busy_poll_s: float = 0.01,
        idle_poll_s: float = 0.1,
    ) -> None:
        super().__init__(name="event-pump", daemon=True)
        self._begin = begin
        self._consumers = consumers
        self._busy_poll_s = busy_poll_s
        self._idle_poll_s = idle_poll_s
        self._stopping = threading.Event()

    def run(self) -> None:
        wait = self._busy_poll_s
        while not self._stopping.is_set():
            try:
                worked = self.turn()
            except Exception:
                log.exception("event_pump_failed")
                worked, wait = False, 1.0
            wait = self._busy_poll_s if worked else min(wait * 1.5, self._idle_poll_s)
            self._stopping.wait(wait)

    def turn(self) -> bool:
        """One round: sequence, then let every consumer catch up; True if there was anything to do."""
        with self._begin() as connection:
            sequenced = sequence(connection)
            last = connection.scalar(_LAST_POSITION)
        worked = sequenced > 0
        for consumer in self._consumers:
            while (batch := consumer.deliver(last)).handled or batch.parked:
                worked = True
                if not batch.more:
                    break
        return worked

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=10)


def lag(connection: Connection) -> Mapping[str, int]:
    """Events not yet handled, per consumer; under ``""`` those not yet sequenced."""
    rows = connection.execute(
        text("""SELECT c.name, s.last_position - c.position FROM runtime.consumer c, runtime.sequencer s
                UNION ALL SELECT '', count(*) FROM runtime.event WHERE position IS NULL""")
    )
    return {row[0]: row[1] for row in rows}


def parked(connection: Connection) -> list[Mapping[str, Any]]:
    """What is parked and why: consumer, aggregate_id, position, type, error, parked_at."""
    rows = connection.execute(
        text("""SELECT p.consumer, p.aggregate_id, p.position, e.type, p.error, p.parked_at
                FROM runtime.parked p JOIN runtime.event e ON e.position = p.position ORDER BY p.position""")
    )
    return [dict(row._mapping) for row in rows]

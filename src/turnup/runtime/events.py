"""The event log: append with the aggregate's next version, sequence after commit, deliver exactly once.

Events are rows written in the transaction that caused them. One sequencer gives committed events their
position (identity order is not commit order). A consumer handles a batch, moves its cursor and writes its
effects in one transaction. An event that cannot be handled parks its aggregate alone, visibly.
"""

import importlib
import pkgutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

import turnup.contracts
from turnup.contracts.unit import Event
from turnup.runtime import metrics, telemetry

log = structlog.get_logger(__name__)

Handler = Callable[[Any, Any], None]
"""(unit, event) -> None; idempotent."""


@dataclass(frozen=True, slots=True)
class Together:
    """A handler of events that come by the thousand, when everybody dials in at once: it is given those that
    follow one another, in order, and handles them in a few statements. Given one, it does the same."""

    handle: Callable[[Any, Sequence[Any]], None]
    """(unit, events) -> None; idempotent."""

    def __call__(self, unit: Any, event: Any) -> None:
        self.handle(unit, [event])


Handlers = Mapping[type[Event], Handler | Together]

Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction as the connecting role: commits at the end, rolls back on any exception."""

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
    payload: str
    """JSON."""

    @classmethod
    def of(cls, event: Event) -> "PendingEvent":
        kind = type(event)
        return cls(
            type=event_name(kind),
            schema_version=kind.version,
            aggregate_id=getattr(event, kind.aggregate),
            payload=_adapter(kind).dump_json(event).decode(),
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


# Each is one statement, however many. Versions are taken in the order of ids, the same for all, so that
# two units cannot deadlock.
_TAKE_VERSIONS = text("""
    INSERT INTO runtime.aggregate AS a (aggregate_id, version)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:counts AS bigint[])) AS wanted (id, n) ORDER BY id
    ON CONFLICT (aggregate_id) DO UPDATE SET version = a.version + excluded.version
    RETURNING aggregate_id, version
""")

_INSERT_EVENTS = text("""
    INSERT INTO runtime.event
        (type, schema_version, aggregate_id, aggregate_version, payload, occurred_at, actor, traceparent)
    SELECT type, schema_version, aggregate_id, aggregate_version, CAST(payload AS jsonb), :occurred_at,
           :actor, :traceparent
    FROM unnest(CAST(:types AS text[]), CAST(:schema_versions AS int[]), CAST(:ids AS uuid[]),
                CAST(:versions AS bigint[]), CAST(:payloads AS text[]))
         WITH ORDINALITY AS e (type, schema_version, aggregate_id, aggregate_version, payload, n)
    ORDER BY n
""")


def append_events(
    connection: Connection,
    events: Sequence[PendingEvent],
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> None:
    """Insert events in the order given; versions are taken under each aggregate's row lock."""
    counts = Counter(event.aggregate_id for event in events)
    taken = connection.execute(_TAKE_VERSIONS, {"ids": list(counts), "counts": list(counts.values())})
    next_version = {aggregate_id: last - counts[aggregate_id] + 1 for aggregate_id, last in taken}
    versions = []
    for event in events:
        metrics.events.labels(event.type).inc()
        versions.append(next_version[event.aggregate_id])
        next_version[event.aggregate_id] += 1
    connection.execute(
        _INSERT_EVENTS,
        {
            "types": [event.type for event in events],
            "schema_versions": [event.schema_version for event in events],
            "ids": [event.aggregate_id for event in events],
            "versions": versions,
            "payloads": [event.payload for event in events],
            "occurred_at": now,
            "actor": actor,
            "traceparent": traceparent,
        },
    )


_LOCK_SEQUENCER = text("SELECT last_position FROM runtime.sequencer WHERE id = 1 FOR UPDATE SKIP LOCKED")
_NUMBER_EVENTS = text("""
    WITH fresh AS (
        SELECT event_id, :last + row_number() OVER (ORDER BY event_id) AS position
        FROM (SELECT event_id FROM runtime.event WHERE position IS NULL
              ORDER BY event_id LIMIT :batch) waiting
    ), numbered AS (
        UPDATE runtime.event e SET position = fresh.position FROM fresh
        WHERE e.event_id = fresh.event_id RETURNING e.position, e.type
    ), moved AS (
        UPDATE runtime.sequencer SET last_position = (SELECT max(position) FROM numbered)
        WHERE id = 1 AND EXISTS (SELECT 1 FROM numbered)
    )
    SELECT count(*), array_agg(DISTINCT type) FROM numbered
""")
_ANY_WAITING = text("SELECT EXISTS (SELECT 1 FROM runtime.event WHERE position IS NULL)")
_PASS_OVER = text("""
    UPDATE runtime.consumer SET position = :last WHERE name IN (
        SELECT name FROM runtime.consumer WHERE name = ANY(:names) AND position = :before
        FOR UPDATE SKIP LOCKED)
    RETURNING name
""")


@dataclass(frozen=True, slots=True)
class Numbered:
    """Events that just got the positions `before` + 1 to `last`, and of what types they are."""

    before: int
    last: int
    types: frozenset[str]

    @property
    def count(self) -> int:
        return self.last - self.before


def sequence(connection: Connection) -> Numbered | None:
    """Give the committed, unnumbered events their positions. Needs its own transaction.

    Whoever holds the one sequencer row works; None when nothing waits or another one does it.
    """
    if not connection.scalar(_ANY_WAITING):
        return None
    last = connection.scalar(_LOCK_SEQUENCER)
    if last is None:
        return None
    count, types = connection.execute(_NUMBER_EVENTS, {"last": last, "batch": _SEQUENCE_BATCH}).one()
    return Numbered(last, last + count, frozenset(types)) if count else None


_CLAIM_CONSUMER = text("""
    SELECT c.position, s.last_position FROM runtime.consumer c, runtime.sequencer s
    WHERE c.name = :name AND s.id = 1 FOR UPDATE OF c SKIP LOCKED
""")
_NEW_CONSUMER = text(
    "INSERT INTO runtime.consumer (name, position) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING"
)
_MOVE_CONSUMER = text("UPDATE runtime.consumer SET position = :position WHERE name = :name")
_FETCH = text("""
    SELECT position, type, aggregate_id, payload, traceparent,
           EXISTS (SELECT 1 FROM runtime.parked p
                   WHERE p.consumer = :name AND p.aggregate_id = e.aggregate_id)
    FROM runtime.event e
    WHERE position > :after AND position <= :upto AND type = ANY(:types)
    ORDER BY position LIMIT :batch
""")
_LAST_POSITION = text("SELECT last_position FROM runtime.sequencer WHERE id = 1")
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
_BEHIND = "waits behind an earlier parked event"


class Consumer:
    """Delivers the log to one component's handlers, in order, each event's effects exactly once.

    `begin` opens a transaction; `unit_on(connection, component, actor)` a unit of work within it.
    """

    def __init__(self, component: str, handlers: Handlers, *, begin: Begin, unit_on: Any) -> None:
        self.component = component
        self._handlers = {event_name(cls): handler for cls, handler in handlers.items()}
        self._begin = begin
        self._unit_on = unit_on
        self._known_position = -1

    def wants(self, types: Set[str]) -> bool:
        """Whether any of these is handled here."""
        return not types.isdisjoint(self._handlers)

    def passed_over(self, position: int) -> None:
        """Somebody moved our cursor here: nothing up to it was for us."""
        self._known_position = position

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
        own = {"name": self.component, "aggregate_id": aggregate_id}
        with self._begin() as connection:
            events = [StoredEvent(*row) for row in connection.execute(_PARKED_OF, own)]
            with self._unit_on(connection, self.component, self._actor) as unit:
                for event in events:
                    self._handle(unit, [event])
            for event in events:
                connection.execute(_UNPARK, {**own, "position": event.position})
        return Batch(len(events), 0, more=False)

    @property
    def _actor(self) -> str:
        return f"event:{self.component}"

    def _deliver(self, *, careful: bool) -> Batch:
        with self._begin() as connection:
            claimed = self._claim(connection)
            if claimed is None:
                return _NOTHING
            after, upto = claimed
            if after >= upto:
                self._known_position = upto
                return _NOTHING
            events, parked_ids = self._fetch(connection, after, upto)
            parked: list[tuple[StoredEvent, str]] = []
            if events:
                with self._unit_on(connection, self.component, self._actor) as unit:
                    parked = self._handle_all(unit, events, parked_ids, careful=careful)
                    now = unit.now
            for event, error in parked:
                self._park(connection, event, error, now)
            more = len(events) == _DELIVER_BATCH
            position = events[-1].position if more else upto
            connection.execute(_MOVE_CONSUMER, {"name": self.component, "position": position})
        self._known_position = position
        return Batch(len(events) - len(parked), len(parked), more=more)

    def _handle_all(
        self, unit: Any, events: Sequence[StoredEvent], parked_ids: set[UUID], *, careful: bool
    ) -> list[tuple[StoredEvent, str]]:
        """Returns the events to park, each with the reason."""
        parked = []
        if not careful:
            parked = [(event, _BEHIND) for event in events if event.aggregate_id in parked_ids]
            for run in self._runs([event for event in events if event.aggregate_id not in parked_ids]):
                self._handle(unit, run)
            return parked
        for event in events:
            if event.aggregate_id in parked_ids:
                parked.append((event, _BEHIND))
            elif error := self._handle_in_savepoint(unit, event):
                parked_ids.add(event.aggregate_id)
                parked.append((event, error))
        return parked

    def _runs(self, events: Sequence[StoredEvent]) -> Iterator[Sequence[StoredEvent]]:
        """The events in order: as runs where those that follow one another are handled together."""
        for name, same in groupby(events, key=lambda event: event.type):
            if isinstance(self._handlers[name], Together):
                yield list(same)
            else:
                yield from ([event] for event in same)

    def _claim(self, connection: Connection) -> tuple[int, int] | None:
        """(after, upto), or None when another process is delivering to this consumer right now."""
        own = {"name": self.component}
        row = connection.execute(_CLAIM_CONSUMER, own).one_or_none()
        if row is None:
            connection.execute(_NEW_CONSUMER, own)
            row = connection.execute(_CLAIM_CONSUMER, own).one_or_none()
        return (row[0], row[1]) if row else None

    def _fetch(self, connection: Connection, after: int, upto: int) -> tuple[list[StoredEvent], set[UUID]]:
        """The next events, and the aggregates among them that have something parked already."""
        rows = connection.execute(
            _FETCH,
            {
                "name": self.component,
                "after": after,
                "upto": upto,
                "types": list(self._handlers),
                "batch": _DELIVER_BATCH,
            },
        ).all()
        events = [StoredEvent(*row[:5]) for row in rows]
        return events, {event.aggregate_id for event, row in zip(events, rows, strict=True) if row[5]}

    def _handle(self, unit: Any, run: Sequence[StoredEvent]) -> None:
        """One event; or several of one type, together, as part of the first one's trace."""
        first, told = run[0], [event.load() for event in run]
        handler = self._handlers[first.type]
        with (
            telemetry.continue_trace(first.traceparent, f"{self.component} <- {first.type}"),
            telemetry.bind(consumer=self.component, event_type=first.type, **_ids(told)),
        ):
            if isinstance(handler, Together):
                handler.handle(unit, told)
            else:
                handler(unit, *told)

    def _handle_in_savepoint(self, unit: Any, event: StoredEvent) -> str | None:
        """Returns what went wrong, if anything did."""
        try:
            with unit.attempt():
                self._handle(unit, [event])
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            log.exception(
                "event_parked", consumer=self.component, type=event.type, aggregate=str(event.aggregate_id)
            )
            return f"{type(error).__name__}: {error}"
        return None

    def _park(self, connection: Connection, event: StoredEvent, error: str, at: datetime) -> None:
        metrics.parked.labels(self.component).inc()
        connection.execute(
            _PARK,
            {
                "name": self.component,
                "aggregate_id": event.aggregate_id,
                "position": event.position,
                "error": error[:2000],
                "at": at,
            },
        )


def _ids(events: Sequence[Event]) -> dict[str, object]:
    """The ids an event carries, by their names: service_id, order_id and the like; of several, how many."""
    if len(events) > 1:
        return {"events": len(events)}
    names = [field.name for field in fields(events[0]) if field.name.endswith("_id")]
    values = {name: getattr(events[0], name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


class EventPump(threading.Thread):
    """Sequences and delivers, all consumers in one thread, until stopped. Runs in the worker process."""

    def __init__(
        self,
        begin: Begin,
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
            began = time.monotonic()
            try:
                turn = self.turn()
            except Exception:
                log.exception("event_pump_failed")
                turn, wait = _NOTHING, 1.0
            if turn.more:
                continue
            # under load a pause as long as the turn lets events gather: fewer, larger deliveries
            busy_s = max(self._busy_poll_s, min(time.monotonic() - began, self._idle_poll_s))
            wait = busy_s if turn.handled or turn.parked else min(wait * 1.5, self._idle_poll_s)
            self._stopping.wait(wait)

    def turn(self) -> Batch:
        """One round: sequence, then a batch for every consumer: none waits for another one's backlog."""
        with self._begin() as connection:
            numbered = sequence(connection)
            if numbered is not None:
                self._pass_over(connection, numbered)
            last = connection.scalar(_LAST_POSITION)
        batches = [consumer.deliver(last) for consumer in self._consumers]
        return Batch(
            sum(batch.handled for batch in batches),
            sum(batch.parked for batch in batches),
            more=any(batch.more for batch in batches),
        )

    def _pass_over(self, connection: Connection, numbered: Numbered) -> None:
        """Consumers that are up to date and want none of the new events need not look at them."""
        bored = {c.component: c for c in self._consumers if not c.wants(numbered.types)}
        moved = connection.scalars(
            _PASS_OVER, {"names": list(bored), "before": numbered.before, "last": numbered.last}
        )
        for name in moved:
            bored[name].passed_over(numbered.last)

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

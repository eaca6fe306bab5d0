"""What a component hands to the house: its manifest, made by its `component.build`.

The app writes out the constructor calls and plugs the manifests together; nothing is discovered by magic.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection, MetaData

from turnup.kernel.clock import Clock
from turnup.runtime.clock import SharedClock
from turnup.runtime.dangerous import Dangerous
from turnup.runtime.database import Database
from turnup.runtime.durable import Durable, Workflow
from turnup.runtime.events import Consumer, Handlers
from turnup.runtime.restored import Gate
from turnup.runtime.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Something a component does every so often; must bear repetition.

    `run` gets nothing and opens its own units; of several processes one at a time runs a tick.
    """

    name: str
    every_s: float
    run: Callable[[], None]
    where: str = "worker"
    """worker | collector: the kind of process that runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A component's part of the database: SQLAlchemy metadata and what it cannot say (triggers, grants)."""

    name: str
    metadata: MetaData
    ddl: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component, wired: what it offers and what it wants to be called for."""

    name: str
    service: Any
    schema: Schema | None = None
    handlers: Handlers = field(default_factory=dict)
    workflows: Sequence[Workflow] = ()
    ticks: Sequence[Tick] = ()
    routers: Sequence[APIRouter] = ()
    dangerous: Sequence[Dangerous] = ()
    """Use cases that may need four eyes."""
    worker_gone: Callable[[str], None] | None = None
    """Called with the name of a worker whose work another has taken over, before that work goes on."""


class Runtime:
    """The machinery a component is built with. `durable` is set once all workflows are known."""

    def __init__(self, database: Database, clock: SharedClock, settings: Any) -> None:
        self.database = database
        self.clock = clock
        self.settings = settings
        self.gate = Gate(database.engine)
        self._durable: Durable | None = None

    def attach(self, durable: Durable) -> None:
        self._durable = durable

    @property
    def durable(self) -> Durable:
        if self._durable is None:
            raise RuntimeError("the house is not assembled yet")
        return self._durable

    def unit(
        self, component: str, actor: str, *, clock: Clock | None = None
    ) -> AbstractContextManager[UnitOfWork]:
        """Open one transaction of one component; the edge's only way. Raises AwaitingRelease in books that
        were restored and that nobody has released."""
        self.gate.refuse_closed()
        return self.closed_unit(component, actor, clock=clock)

    def unit_in(
        self, connection: Connection, component: str, actor: str
    ) -> AbstractContextManager[UnitOfWork]:
        """A unit within a transaction that is open already. Raises AwaitingRelease, as `unit`."""
        self.gate.refuse_closed()
        return self.database.unit_on(
            connection, component, clock=self.clock, actor=actor, enqueue=self.durable.enqueue
        )

    def closed_unit(
        self, component: str, actor: str, *, clock: Clock | None = None
    ) -> AbstractContextManager[UnitOfWork]:
        """The same, in restored books too: for going back, its release, and leases, which change no book."""
        return self.database.unit(
            component, clock=clock or self.clock, actor=actor, enqueue=self.durable.enqueue
        )

    def consumer(self, component: Component) -> Consumer:
        """Who delivers the event log to this component's handlers."""
        return Consumer(
            component.name,
            component.handlers,
            begin=self.database.engine.begin,
            unit_on=self.unit_in,
        )

    def snapshot(self, component: str) -> AbstractContextManager[Connection]:
        """A short read of one component's own schema."""
        return self.database.snapshot(component)

"""The one PostgreSQL database: engine, a role and a schema per component, and units of work on it.

Law 8: no foreign keys or joins across schemas. `unit` and `snapshot` run as the component's own role, which
has rights on its own schema only, so that a stray join fails at once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from psycopg.abc import Params, Query
from sqlalchemy import Connection, Engine, create_engine, text

from turnup.kernel.clock import Clock
from turnup.runtime import faultpoint
from turnup.runtime.unit_of_work import Enqueue, UnitOfWork

_IDLE_IN_TRANSACTION_S = 30.0
"""A stopped process must not keep its row locks: PostgreSQL ends its session after this long."""

_STATEMENT_S = 120.0
"""One that was stopped within a COPY is not idle in PostgreSQL's eyes: no statement may take longer."""

POOL_WAIT_S = 30.0
"""How long we wait for a connection of the pool; sqlalchemy.exc.TimeoutError then."""

_in_transaction: ContextVar[str | None] = ContextVar("turnup_in_transaction", default=None)


class OutsideIoInTransaction(RuntimeError):
    """A gateway was called while a unit of work was open (law 6). A bug, never the user's fault."""


def refuse_in_transaction(what: str) -> None:
    """Gateways call this first: raises OutsideIoInTransaction inside a unit of work."""
    component = _in_transaction.get()
    if component is not None:
        raise OutsideIoInTransaction(f"{what} was called inside a transaction of {component}")


def role_of(component: str) -> str:
    """The PostgreSQL role that owns nothing but the rights on the component's schema; safe in SQL."""
    if not component.isidentifier():
        raise ValueError(f"{component!r} is no component's name")
    return f"turnup_{component}"


class _OneAtATime(psycopg.Cursor[Any]):
    """A cursor without pipelines. A process that stops within a pipeline leaves a transaction that is neither
    idle nor in a statement, so that PostgreSQL never ends it; bulk work has COPY."""

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        if returning:
            raise psycopg.NotSupportedError("one statement with RETURNING, or COPY, does this better")
        for params in params_seq:
            self.execute(query, params)  # type: ignore[arg-type]  # a template has no parameters to repeat


class Database:
    """An engine with Turnup's ways of opening transactions on it."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        application_name: str = "turnup",
        idle_in_transaction_s: float = _IDLE_IN_TRANSACTION_S,
        pool_wait_s: float = POOL_WAIT_S,
    ) -> None:
        self.url = url
        self._pool_wait_s = pool_wait_s
        self.application_name = application_name
        options = (
            f"-c statement_timeout={int(_STATEMENT_S * 1000)}"
            f" -c idle_in_transaction_session_timeout={int(idle_in_transaction_s * 1000)} -c timezone=UTC"
        )
        self.engine: Engine = self._engine(options, pool_size=pool_size)
        # Reads have connections of their own, which keep the role they had last: no BEGIN, SET and ROLLBACK
        # around each query.
        self._reader: Engine = self._engine(
            f"{options} -c default_transaction_read_only=on",
            pool_size=pool_size,
            isolation_level="AUTOCOMMIT",
        )

    def _engine(self, options: str, **ways: Any) -> Engine:
        return create_engine(
            self.url,
            max_overflow=5,
            pool_timeout=self._pool_wait_s,
            pool_pre_ping=False,
            connect_args={
                "application_name": self.application_name,
                "cursor_factory": _OneAtATime,
                "options": options,
            },
            **ways,
        )

    @contextmanager
    def unit(self, component: str, *, clock: Clock, actor: str, enqueue: Enqueue) -> Iterator[UnitOfWork]:
        """One transaction of one component: commits at the end, rolls back on any exception."""
        with self.engine.begin() as connection:
            with self.unit_on(connection, component, clock=clock, actor=actor, enqueue=enqueue) as unit:
                yield unit
            faultpoint.reach(f"unit.{component}.flushed")
        faultpoint.reach(f"unit.{component}.committed")

    @contextmanager
    def unit_on(
        self, connection: Connection, component: str, *, clock: Clock, actor: str, enqueue: Enqueue
    ) -> Iterator[UnitOfWork]:
        """The same in a transaction that somebody else commits; its role is the owner's again afterwards."""
        connection.exec_driver_sql(f"SET LOCAL ROLE {role_of(component)}")
        token = _in_transaction.set(component)
        try:
            unit = UnitOfWork(connection, component, now=clock.now(), actor=actor, enqueue=enqueue)
            yield unit
            unit.flush()
        finally:
            _in_transaction.reset(token)

    @contextmanager
    def snapshot(self, component: str) -> Iterator[Connection]:
        """A short read of one component's own schema. Each statement sees what is committed when it starts;
        writing is refused."""
        role = role_of(component)
        with self._reader.connect() as connection:
            if connection.info.get("role") != role:
                connection.exec_driver_sql(f"SET ROLE {role}")
                connection.info["role"] = role
            yield connection

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether we are the only one to do this now. The lock lives in a transaction: a stopped process
        loses it when its idle session is ended."""
        with self.engine.begin() as connection:
            yield bool(
                connection.scalar(
                    text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 717))"), {"name": name}
                )
            )

    def close(self) -> None:
        self.engine.dispose()
        self._reader.dispose()

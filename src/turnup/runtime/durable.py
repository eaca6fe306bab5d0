"""Durable workflows: DBOS behind our own few words, so that nothing else imports it.

A workflow is a function of (run, *ids). It does its work in steps, each checkpointed: `run.unit` is one
transaction of one component, done exactly once; `run.world` touches the outside, is done at least once and
must bear repetition. Workers hold leases; a survivor takes over what an expired worker left, and a worker
that finds itself expired ends at once. Recovery crosses only equal versions of the workflow code.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, SQLAlchemyDatasource
from dbos._error import DBOSException
from sqlalchemy import Connection, text

from turnup.kernel.clock import Clock
from turnup.runtime import faultpoint, telemetry
from turnup.runtime.database import Database
from turnup.runtime.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTS = (DBOSException,)
"""Raised by the engine itself (another worker owns the workflow, it was cancelled): a workflow that catches
exceptions lets these pass."""

_APPLICATION = "turnup"
_HEARTBEAT_S = 2.0
LEASE_S = 15.0
"""A worker that has not been heard of for this long has lost its work to the others, unless the settings say
otherwise (`lease_seconds`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A named durable function; `queue` decides who runs it and how many at once."""

    name: str
    function: Callable[..., None]
    queue: str = "default"
    logged: tuple[str, ...] = ()
    """What log lines call its first arguments (`order_id`); ids only, no personal data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    name: str
    poll_ms: int
    worker_concurrency: int


class Run:
    """What a workflow function gets: the means to take checkpointed steps."""

    def __init__(self, durable: "Durable", name: str, traceparent: str | None) -> None:
        self._durable = durable
        self._name = name
        self._traceparent = traceparent

    @property
    def id(self) -> str:
        """The workflow's key; the same in every execution of it."""
        return str(DBOS.workflow_id)

    def unit(
        self,
        component: str,
        name: str,
        function: Callable[Concatenate[UnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """One transaction of one component, exactly once; its result is checkpointed with it."""

        def body() -> R:
            faultpoint.reach(f"{self._name}.{name}.before")
            with self._durable.session_unit(component, f"workflow:{self._name}") as unit:
                result = function(unit, *args, **kwargs)
            faultpoint.reach(f"{self._name}.{name}.after")
            return result

        with telemetry.continue_trace(self._traceparent, f"{self._name}.{name}"):
            done = self._durable.datasource.run_tx_step(
                {"name": name, "isolation_level": "READ COMMITTED"}, body
            )
        faultpoint.reach(f"{self._name}.{name}.done")
        return done

    def world(
        self,
        name: str,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """A step that touches the outside: at least once, so `function` must bear repetition."""

        def body() -> R:
            faultpoint.reach(f"{self._name}.{name}.before")
            result = function(*args, **kwargs)
            faultpoint.reach(f"{self._name}.{name}.after")
            return result

        with telemetry.continue_trace(self._traceparent, f"{self._name}.{name}"):
            done = DBOS.run_step({"name": name, "retries_allowed": False}, body)
        faultpoint.reach(f"{self._name}.{name}.done")
        return done

    def sleep(self, seconds: float) -> None:
        """A durable pause, in machine time."""
        DBOS.sleep(seconds)


class Durable:
    """Enqueues (any process) and runs (a worker) durable workflows."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        workflows: Sequence[Workflow] = (),
        queues: Sequence[QueueSpec] = (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._workflows = {workflow.name: workflow for workflow in workflows}
        self._queues = queues
        self._client: DBOSClient | None = None
        self._datasource: SQLAlchemyDatasource | None = None
        self._lease: _WorkerLease | None = None

    @property
    def datasource(self) -> SQLAlchemyDatasource:
        if self._datasource is None:
            raise RuntimeError("workflow steps run in a worker only: call launch() first")
        return self._datasource

    def enqueue(self, connection: Connection, workflow: str, key: str, args: tuple[str, ...]) -> None:
        """Put a workflow on its queue within the caller's transaction; a key used before starts nothing."""
        if self._client is None:
            self._client = DBOSClient(
                system_database_engine=self._database.engine, application_name=_APPLICATION, lazy=True
            )
        known = self._workflows[workflow]
        self._client.enqueue_in_transaction(
            connection,
            {"workflow_name": workflow, "queue_name": known.queue, "workflow_id": key},
            telemetry.current_traceparent() or "",
            *args,
        )

    def session_unit(self, component: str, actor: str) -> Any:
        return self._database.unit_on(
            self.datasource.sql_session().connection(),
            component,
            clock=self._clock,
            actor=actor,
            enqueue=self.enqueue,
        )

    def launch(
        self,
        worker_id: str,
        *,
        pool_size: int,
        threads: int,
        lease_s: float = LEASE_S,
        on_takeover: Callable[[str], None] = lambda _worker: None,
    ) -> None:
        """Become a worker: register workflows, recover, listen on queues. Before any event loop starts.
        `on_takeover` is told each worker whose work we take over, before that work goes on."""
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_url": _dbos_url(self._database.url),
            "sys_db_pool_size": pool_size,
            # the engine repeats what a lost connection broke; asking each one first costs a round trip a step
            "db_engine_kwargs": {"pool_pre_ping": False},
            "application_version": self.version(),
            "executor_id": worker_id,
            "log_level": "WARNING",
            "run_migrations": False,
            "use_listen_notify": False,
            "max_executor_threads": threads,
            "scheduler_polling_interval_sec": 3600.0,
        }
        dbos = DBOS(config=config)
        for workflow in self._workflows.values():
            DBOS.workflow(name=workflow.name)(self._body_of(workflow))
        self._datasource = SQLAlchemyDatasource.create(
            _dbos_url(self._database.url), engine=self._database.engine
        )
        self._lease = _WorkerLease(self._database, worker_id, self.version(), lease_s, on_takeover)
        self._lease.take()
        dbos.launch()
        for queue in self._queues:
            DBOS.register_queue(
                queue.name,
                worker_concurrency=queue.worker_concurrency,
                polling_interval_sec=queue.poll_ms / 1000,
                on_conflict="always_update",
            )
        self._lease.start()

    def stop(self, *, drain_s: int = 10) -> None:
        """Let running workflows finish for a while, then leave the rest to others."""
        DBOS.destroy(workflow_completion_timeout_sec=drain_s)
        if self._lease is not None:
            self._lease.give_back()
        self._datasource = None

    def version(self) -> str:
        """A hash over the code of the modules that hold workflows: recovery crosses only equal versions."""
        digest = hashlib.sha256()
        modules = {__file__, *(_code_file(workflow.function) for workflow in self._workflows.values())}
        for path in sorted(modules):
            digest.update(Path(path).read_bytes())
        return digest.hexdigest()[:16]

    def _body_of(self, workflow: Workflow) -> Callable[..., None]:
        def body(traceparent: str, *args: str) -> None:
            run = Run(self, workflow.name, traceparent or None)
            named = dict(zip(workflow.logged, args, strict=False))
            with telemetry.bind(workflow=workflow.name, workflow_id=run.id, **named):
                workflow.function(run, *args)

        body.__qualname__ = workflow.name
        return body


def _code_file(function: Callable[..., Any]) -> str:
    inner = getattr(function, "func", function)
    return str(inner.__code__.co_filename)


def _dbos_url(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def migrate(url: str) -> None:
    """Create or upgrade DBOS's own tables (schema dbos)."""
    DBOS.migrate(_dbos_url(url))
    SQLAlchemyDatasource.migrate(_dbos_url(url))


class _WorkerLease(threading.Thread):
    """Heartbeats this worker, takes over expired ones, ends the process when its own lease is gone."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        version: str,
        lease_s: float,
        on_takeover: Callable[[str], None],
    ) -> None:
        super().__init__(name="worker-lease", daemon=True)
        self._database = database
        self._worker_id = worker_id
        self._version = version
        self._lease_s = lease_s
        self._on_takeover = on_takeover
        self._stopping = threading.Event()

    def take(self) -> None:
        with self._database.engine.begin() as connection:
            connection.execute(
                text("""INSERT INTO runtime.worker (worker_id, version, started_at, heartbeat_at)
                        VALUES (:id, :version, clock_timestamp(), clock_timestamp())"""),
                {"id": self._worker_id, "version": self._version},
            )

    def run(self) -> None:
        renewed = time.monotonic()  # goes on while the process is stopped
        while not self._stopping.wait(min(_HEARTBEAT_S, self._lease_s / 5)):
            try:
                if not self._beat():
                    self._end()
                renewed = time.monotonic()
                for expired in self._expired():
                    log.warning("worker_taken_over", expired=expired, by=self._worker_id)
                    self._on_takeover(expired)
                    DBOS._recover_pending_workflows([expired])
            except Exception:
                log.exception("worker_heartbeat_failed", worker=self._worker_id)
                if time.monotonic() - renewed > self._lease_s:
                    self._end()  # whoever cannot renew it must take it for lost

    def _end(self) -> None:
        """Another worker has our work; nothing of ours may go on."""
        log.critical("worker_lease_lost", worker=self._worker_id)
        os._exit(70)

    def give_back(self) -> None:
        self._stopping.set()
        with self._database.engine.begin() as connection:
            connection.execute(
                text("UPDATE runtime.worker SET stopped_at = clock_timestamp() WHERE worker_id = :id"),
                {"id": self._worker_id},
            )

    def _beat(self) -> bool:
        with self._database.engine.begin() as connection:
            return bool(
                connection.execute(
                    text("""UPDATE runtime.worker SET heartbeat_at = clock_timestamp()
                            WHERE worker_id = :id AND taken_over_by IS NULL"""),
                    {"id": self._worker_id},
                ).rowcount
            )

    def _expired(self) -> list[str]:
        """Workers we just took over, and any taken over before that still have work pending (their rescuer
        may have died in between)."""
        with self._database.engine.begin() as connection:
            taken = connection.scalars(
                text("""UPDATE runtime.worker SET taken_over_by = :id
                        WHERE taken_over_by IS NULL AND stopped_at IS NULL AND worker_id <> :id
                          AND heartbeat_at < clock_timestamp() - make_interval(secs => :lease)
                        RETURNING worker_id"""),
                {"id": self._worker_id, "lease": self._lease_s},
            ).all()
            # A stopped worker keeps its row locks as long as its sessions live: end them (application_name
            # is the worker's id), so that its work can go on at once and none of its commits comes late.
            connection.execute(
                text("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE application_name = ANY(:taken)"""),
                {"taken": list(taken)},
            )
            rows = connection.execute(
                text("""SELECT DISTINCT w.worker_id FROM runtime.worker w
                        JOIN dbos.workflow_status s ON s.executor_id = w.worker_id AND s.status = 'PENDING'
                        WHERE w.taken_over_by IS NOT NULL OR w.stopped_at IS NOT NULL""")
            )
            return sorted({*taken, *(row[0] for row in rows)})


def stuck(connection: Connection, older_than: timedelta) -> list[Mapping[str, Any]]:
    """The watch: workflows without progress for this long: id, name, status, executor, version, since."""
    rows = connection.execute(
        text("""SELECT workflow_uuid AS id, name, status, executor_id, application_version AS version,
                       to_timestamp(updated_at / 1000.0) AS since
                FROM dbos.workflow_status
                WHERE status IN ('PENDING', 'ENQUEUED')
                  AND updated_at < (EXTRACT(epoch FROM clock_timestamp()) - :age) * 1000
                ORDER BY updated_at"""),
        {"age": older_than.total_seconds()},
    )
    return [dict(row._mapping) for row in rows]


def pending(connection: Connection) -> int:
    """Workflows enqueued or running."""
    return (
        connection.scalar(
            text("SELECT count(*) FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED')")
        )
        or 0
    )

"""The database server and the work on it: schema, workers, workflows, events."""

from collections.abc import Iterator
from datetime import timedelta

from turnup.app.doctor.finding import Finding, bad, good, judged
from turnup.app.migrations.runner import head
from turnup.kernel.clock import SystemClock
from turnup.runtime import durable, events, health
from turnup.runtime.database import Database
from turnup.runtime.settings import Settings

_POSTGRES_LEAST = 160_000
_LAG_MAX = 1_000
_STUCK = timedelta(minutes=15)
_CLOCK_SKEW_MAX_S = 2.0
_OVERFLOW = 5
"""Connections a pool may open beyond its size (runtime.database)."""


def server(facts: health.ServerFacts, settings: Settings) -> Iterator[Finding]:
    new_enough = facts.version >= _POSTGRES_LEAST
    shown = f"PostgreSQL {facts.version // 10_000}.{facts.version % 10_000}"
    yield judged("database", shown, "upgrade to PostgreSQL 16 or newer", ok=new_enough)
    if not facts.may_create_roles:
        yield bad(
            "database role",
            "may not create roles; each component has one of its own",
            "ALTER ROLE … CREATEROLE, as the database's administrator",
        )
    skew_s = abs((SystemClock().now() - facts.now).total_seconds())
    yield judged(
        "time of the database",
        f"{skew_s:.1f} s from this machine's",
        "synchronise both clocks (NTP)",
        ok=skew_s <= _CLOCK_SKEW_MAX_S,
    )
    yield from _pools(facts, settings)


def _pools(facts: health.ServerFacts, settings: Settings) -> Iterator[Finding]:
    """Server, workers and collector have a pool for units and one for reads each, a worker a third one for
    its workflows' own state."""
    pool = settings.database_pool_size
    processes = 2 + settings.workers
    needed = (2 * processes + settings.workers) * pool + 2 * processes * _OVERFLOW
    fits = needed <= facts.connections_max
    yield judged(
        "connections",
        f"this installation opens up to {needed} of {facts.connections_max}",
        "lower TURNUP_DATABASE_POOL_SIZE or raise max_connections",
        ok=fits,
    )
    for name, threads in (
        ("http_threads", settings.http_threads),
        ("worker_concurrency", settings.worker_concurrency),
    ):
        if threads > pool + _OVERFLOW:
            yield bad(
                "pool size",
                f"{name} is {threads}, but a process has {pool} connections: the others wait",
                f"set TURNUP_DATABASE_POOL_SIZE to {threads} or lower TURNUP_{name.upper()}",
            )


def schema(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        present = health.revision(connection)
    yield judged(
        "schema",
        f"at revision {present}" if present == head() else f"at revision {present}, not {head()}",
        "run `turnup migrate`",
        ok=present == head(),
    )


def workers(database: Database, *, settings: Settings) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        found = health.workers(connection)
    alive = [worker for worker in found if worker.silent_s <= settings.lease_seconds]
    if not alive:
        yield bad("workers", "no worker is alive: orders and events wait", "run `turnup up`")
        return
    yield good("workers", f"{len(alive)} alive")
    versions = {worker.version for worker in alive}
    if len(versions) > 1:
        yield bad(
            "worker versions",
            f"workers of {len(versions)} versions: none takes over what another version left",
            "restart the older workers",
        )


def workflows(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        found = durable.stuck(connection, _STUCK)
    if not found:
        yield good("workflows", "none without progress")
        return
    first = found[0]
    yield bad(
        "workflows",
        f"{len(found)} without progress for {_STUCK.seconds // 60} minutes, first {first['name']} "
        f"{first['id']} ({first['status']}, {first['executor_id'] or 'no worker'})",
        "is a worker of the same version alive? see its log",
    )


def events_wait(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        lag = events.lag(connection)
        parked = events.parked(connection)
    late = {consumer or "sequencer": n for consumer, n in lag.items() if n > _LAG_MAX}
    yield judged(
        "event lag",
        ", ".join(f"{name} is {n} behind" for name, n in sorted(late.items())) or "nobody is behind",
        "is a worker alive? `turnup events lag` shows whether it catches up",
        ok=not late,
    )
    yield judged(
        "parked events",
        f"{len(parked)} wait: {parked[0]['consumer']} {parked[0]['type']}: {parked[0]['error']}"
        if parked
        else "none",
        "mend the cause, then `turnup events retry CONSUMER`",
        ok=not parked,
    )

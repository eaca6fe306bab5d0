"""A bill run on the real durable queue: shards are workflows, phases start one another."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing_house import Customer, FakeCatalog, FakeCrm, charge

from turnup.bss.billing.component import build
from turnup.bss.billing.workflows import QUEUE
from turnup.kernel.clock import ManualClock
from turnup.runtime.component import Runtime
from turnup.runtime.database import Database
from turnup.runtime.durable import Durable, QueueSpec


def test_a_run_bills_everyone_once_through_the_queue(database_url: str) -> None:
    database = Database(database_url, pool_size=8)
    clock: Any = ManualClock(datetime(2026, 6, 2, tzinfo=UTC))
    runtime = Runtime(database, clock, settings=None)
    component = build(runtime, catalog_reads=FakeCatalog(), crm_reads=FakeCrm())  # type: ignore[arg-type]
    billing = component.service
    billing.runs._shard_accounts = 4
    durable = Durable(
        database,
        clock,
        workflows=component.workflows,
        queues=[QueueSpec(name=QUEUE, poll_ms=20, worker_concurrency=2)],
    )
    runtime.attach(durable)
    for n in range(10):
        who = Customer(f"c{n}")
        for event in (
            who.opened(date(2026, 6, 1)),
            who.agreed(charge("plan", "29.90")),
            who.accepted("2026-06-01"),
        ):
            with runtime.unit("billing", "test") as unit:
                component.handlers[type(event)](unit, event)
    clock.advance(timedelta(days=29))
    durable.launch("worker-1", pool_size=4, threads=4)
    try:
        with runtime.unit("billing", "test") as unit:
            run_id = billing.start_run(unit, date(2026, 7, 1), "default")
        progress = _wait(billing, run_id)
        with runtime.unit("billing", "test") as unit:
            assert billing.start_run(unit, date(2026, 7, 1), "default") == run_id
    finally:
        durable.stop()
    assert (progress.invoices, progress.shards_done, progress.shards_total) == (10, 3, 3)
    numbers = sorted(billing.invoices(Customer(f"c{n}").account)[0].number for n in range(10))
    assert numbers == [f"INV-{n:08d}" for n in range(1, 11)]
    database.close()


def _wait(billing: Any, run_id: Any) -> Any:
    deadline = time.monotonic() + 60
    while (progress := billing.run(run_id)).state != "done":
        assert time.monotonic() < deadline, progress
        time.sleep(0.05)
    return progress

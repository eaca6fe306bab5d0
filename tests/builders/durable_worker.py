"""A worker with one small workflow, for tests that kill it: `python -m builders.durable_worker URL`."""

import sys
import time

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert

from turnup.kernel.clock import SystemClock
from turnup.kernel.ids import new_id
from turnup.runtime.component import Runtime, Schema
from turnup.runtime.database import Database
from turnup.runtime.durable import Durable, QueueSpec, Workflow

WORKFLOW = "test.work"
metadata = MetaData(schema="orders")
done = Table(
    "done",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False),
    Column("step", Text, nullable=False),
)
"""No uniqueness: a step done twice shows as a second row."""
SCHEMAS = [Schema(name="orders", metadata=metadata)]


def work(run, key):
    run.unit("orders", "first", note, key, "first")
    run.world("outside", time.sleep, 0.01)
    run.unit("orders", "last", note, key, "last")


def note(unit, key, step):
    unit.connection.execute(insert(done).values(key=key, step=step))


def runtime_for(url):
    database = Database(url, pool_size=5)
    clock = SystemClock()
    runtime = Runtime(database, clock, None)
    durable = Durable(
        database,
        clock,
        workflows=[Workflow(name=WORKFLOW, function=work, queue="orders")],
        queues=[QueueSpec(name="orders", poll_ms=20, worker_concurrency=4)],
    )
    runtime.attach(durable)
    return runtime


def main():
    runtime = runtime_for(sys.argv[1])
    runtime.durable.launch(f"worker-{new_id()}", pool_size=5, threads=8, lease_s=2.0)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main()

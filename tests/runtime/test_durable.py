"""Durable workflows on a real worker process: enqueued with their cause, once per key, taken over when a
worker dies or sleeps. Each worker is a process of its own, because only a process can be killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from builders.durable_worker import SCHEMAS, WORKFLOW, runtime_for
from builders.house import lay_out
from turnup.kernel.ids import new_id


@pytest.fixture(scope="session")
def database_template(make_template):
    return make_template("runtime_durable", lambda url: lay_out(url, SCHEMAS))


@pytest.fixture
def runtime(database_url):
    made = runtime_for(database_url)
    yield made
    made.database.close()


@pytest.fixture
def worker(database_url, tmp_path):
    running = []

    def start(**environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "builders.durable_worker", database_url],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
            stdin=subprocess.DEVNULL,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def rows(runtime):
    with runtime.database.engine.connect() as connection:
        found = connection.execute(text("SELECT key, step FROM orders.done ORDER BY key, step"))
        return [(row.key, row.step) for row in found]


def wait_for(check, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < until, "did not come true"
        time.sleep(0.05)


def start_workflow(runtime, key):
    with runtime.unit("orders", "test") as unit:
        unit.start(WORKFLOW, key, key)


def test_a_rollback_starts_nothing_and_a_key_counts_once(runtime, worker):
    with pytest.raises(RuntimeError), runtime.unit("orders", "test") as unit:
        unit.start(WORKFLOW, "never", "never")
        raise RuntimeError("rolled back")
    start_workflow(runtime, "one")
    start_workflow(runtime, "one")
    worker()
    wait_for(lambda: len(rows(runtime)) == 2)
    time.sleep(0.3)
    assert rows(runtime) == [("one", "first"), ("one", "last")]


@pytest.mark.parametrize(
    "point",
    ["test.work.first.before", "test.work.first.after", "test.work.outside.after", "test.work.last.after"],
)
def test_a_killed_worker_is_taken_over(runtime, worker, tmp_path, point):
    key = str(new_id())
    start_workflow(runtime, key)
    victim = worker(TURNUP_KILL_AT=point, TURNUP_FAULT_MARK=str(tmp_path / "mark"))
    assert victim.wait(60) == -signal.SIGKILL
    worker()
    wait_for(lambda: rows(runtime) == [(key, "first"), (key, "last")])


def test_a_worker_that_slept_through_its_lease_ends_and_doubles_nothing(runtime, worker, tmp_path):
    key = str(new_id())
    start_workflow(runtime, key)
    mark = tmp_path / "mark"
    sleeper = worker(TURNUP_STOP_AT="test.work.outside.before", TURNUP_FAULT_MARK=str(mark))
    wait_for(mark.exists)
    worker()
    wait_for(lambda: rows(runtime) == [(key, "first"), (key, "last")])
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(60) == 70  # it found its lease gone
    assert rows(runtime) == [(key, "first"), (key, "last")]

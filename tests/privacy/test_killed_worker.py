"""A worker that is killed in the middle of an erasure or a purge: another one ends it, nothing twice."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from privacy.conftest import MARK, Planted
from privacy.test_erasure import LAW_KEEPS, places
from turnup.runtime.erasures import ErasureState

PATIENCE_S = 90

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Start]:
    """`worker(kill_at=…)` starts a worker process of this installation."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> "subprocess.Popen[bytes]":
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "turnup.app.cli", "run", "worker", "--until-pid", str(os.getpid())],
                env={**os.environ, "TURNUP_LEASE_SECONDS": "2", **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.2)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "point",
    ["privacy.erase.register.after", "privacy.erase.erase billing.done", "privacy.erase.erase crm.after"],
)
def test_an_erasure_is_finished_by_the_next_worker(planted: Planted, worker: Start, point: str) -> None:
    planted.leave()
    asked = planted.api.post("/turnup/v1/privacy/erasure", json={"person": planted.number}).json()["erasure"]
    killed = worker(TURNUP_KILL_AT=point)
    assert killed.wait(PATIENCE_S) == -9
    erasure = planted.house.rights.erasure(UUID(asked))
    assert erasure is not None
    assert erasure.state is ErasureState.ASKED
    worker()
    until(lambda: not planted.house.rights.erasures(open_only=True))
    assert set(places(planted.house, MARK)) <= set(LAW_KEEPS)
    done = planted.sql("SELECT count(*) FROM runtime.audit WHERE action = 'privacy.erasure_done'").scalar()
    assert done == 1


@pytest.mark.timeout(240)
def test_a_purge_is_finished_by_the_next_worker(planted: Planted, worker: Start) -> None:
    planted.sql(
        "INSERT INTO mediation.quarantine (source, row, reason, since)"
        " SELECT 'old.csv', n, 'x', '2020-01-01' FROM generate_series(1, 12000) n"
    )
    planted.house.purges.begin("cli:anna")
    assert worker(TURNUP_KILL_AT="purge.batch").wait(PATIENCE_S) == -9
    worker()
    until(lambda: planted.house.purges.last()[0].finished_at is not None)
    rows = planted.house.purges.last()[0].rows
    assert rows["mediation.quarantine imports"] == 12_000
    assert planted.sql("SELECT count(*) FROM mediation.quarantine WHERE source = 'old.csv'").scalar() == 0

"""`turnup up` as an operator runs it, in real processes: one per data directory, and none left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from turnup.app.processes import names_of

PATIENCE_S = 90.0
NAMES = names_of(workers=2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(check: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < until, what
        time.sleep(0.1)


class Installation:
    """A data directory and a port, and every `turnup up` that was started on them."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        self._data_dir = data_dir
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TURNUP_")},
            "TURNUP_DATA_DIR": str(data_dir),
            "TURNUP_HTTP_PORT": str(self.port),
        }
        self._said = data_dir / "up.txt"
        self._started: list[psutil.Process] = []

    def start(self) -> "subprocess.Popen[bytes]":
        with self._said.open("ab") as said:
            process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        self._started.append(psutil.Process(process.pid))
        return process

    def try_to_start(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-m", "turnup.app.cli", "up"]

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def holder(self) -> str:
        """Who holds the data directory, as written there."""
        lock = self._data_dir / "up.lock"
        return lock.read_text() if lock.exists() else ""

    def children(self, parent: "subprocess.Popen[bytes]") -> list[psutil.Process]:
        """The server, workers and collector; the database's supervisor is not among them."""
        return [
            child for child in psutil.Process(parent.pid).children() if {"run", *NAMES} & {*child.cmdline()}
        ]

    def end(self) -> None:
        for process in self._started:
            if process.is_running():
                process.send_signal(signal.SIGTERM)
        psutil.wait_procs(self._started, timeout=60)


@pytest.fixture
def installation() -> Iterator[Installation]:
    # not pytest's tmp_path: it is closed to the account that runs PostgreSQL when we are root
    data_dir = Path(tempfile.mkdtemp(prefix="turnup-up-"))
    data_dir.chmod(0o755)
    made = Installation(data_dir)
    yield made
    made.end()
    shutil.rmtree(data_dir, ignore_errors=True)


def test_a_second_one_is_refused_and_told_who_is_there(installation: Installation) -> None:
    first = installation.start()
    wait_for(lambda: installation.holder() == str(first.pid), "the first does not say that it is there")
    refused = installation.try_to_start()
    said = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode == 2, said
    assert f"process {first.pid}" in said
    assert "set TURNUP_DATA_DIR" in said
    assert first.poll() is None
    assert installation.holder() == str(first.pid)


@pytest.mark.slow
def test_a_killed_one_leaves_nobody_and_the_next_takes_over(installation: Installation) -> None:
    first = installation.start()
    wait_for(installation.ready, "the first is not ready")
    children = installation.children(first)
    assert len(children) == len(NAMES)
    first.kill()
    first.wait()
    gone, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert (len(gone), alive) == (len(NAMES), [])

    second = installation.start()
    wait_for(installation.ready, "the second is not ready")
    assert second.poll() is None
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE_S) == 0
    assert not installation.ready()

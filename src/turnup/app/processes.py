"""The processes of an installation: starts server, workers and collector, and keeps them running.

A child that dies is started again, after a pause that grows; embedded PostgreSQL has its own supervisor. Who
stops the parent stops them all, in order: the API first, so that nothing new comes in. A parent that is
killed takes them along.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from turnup.kernel.errors import Conflict

log = structlog.get_logger(__name__)

_RUN = (sys.executable, "-m", "turnup.app.cli", "run")
_STEADY_S = 30.0
_PAUSES_S = (0.2, 1.0, 5.0, 15.0)
LOG_BYTES_MAX = 16 * 1024 * 1024
"""A log that has grown so far is put aside; nobody writes to it any more, so that it goes by age."""
_LOG_LOOK_S = 5.0


def names_of(workers: int = 1) -> tuple[str, ...]:
    """The processes of an installation in the order of their start: worker, worker-2 and so on."""
    more = (f"worker-{n}" for n in range(2, workers + 1))
    return ("collector", "worker", *more, "server")


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """One `turnup up` per data directory: raises Conflict naming the process that is there already. The lock
    is the kernel's, so that it goes with its holder, however that ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Conflict(
                f"`turnup up` runs here already, as process {file.read().strip() or 'unknown'}",
                field="data_dir",
                remedy="use it (other commands attach by themselves), stop it, or set TURNUP_DATA_DIR",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def until_signalled(or_when: Callable[[], bool] = lambda: False) -> bool:
    """Wait for SIGTERM or SIGINT, or until `or_when` (asked every second) says yes: then True."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        if or_when():
            return True
    return False


def end_with(parent_pid: int) -> None:
    """Stop this process, as by SIGTERM, when the parent that started it has ended. A killed `turnup up` could
    not stop its children, and the next one would find the API's port taken by them."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(0.5)
        log.error("parent_ended", parent=parent_pid)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def put_aside(path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Whether the log was that long: then it is another file now, and this process (its standard output and
    error) writes a new one. For the process alone that writes it."""
    if path.stat().st_size < bytes_max:
        return False
    path.rename(path.with_name(f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.log"))
    with path.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    return True


def keep_short(path: Path) -> None:
    """Look at this process's own log every few seconds and put it aside when it is long."""

    def watch() -> None:
        while True:
            with contextlib.suppress(OSError):  # deleted by hand, or the disk is full: tried again
                put_aside(path)
            time.sleep(_LOG_LOOK_S)

    threading.Thread(target=watch, name="log-watch", daemon=True).start()


@dataclass(slots=True)
class _Child:
    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    failures: int = 0
    not_before: float = field(default=0.0)


class Processes:
    """Children of this process, started in the order of their names and stopped in the reverse;
    `environment` carries the settings to them."""

    def __init__(self, environment: Mapping[str, str], log_dir: Path | None, names: Sequence[str]) -> None:
        self._environment = {**os.environ, **environment}
        self._log_dir = log_dir
        self._children = {
            name: _Child(name, [*_RUN, name, "--until-pid", str(os.getpid())]) for name in names
        }
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep, name="processes", daemon=True)

    def start(self) -> None:
        for child in self._children.values():
            self._spawn(child)
        self._watch.start()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._children)

    def pid(self, name: str) -> int:
        process = self._children[name].process
        if process is None:
            raise LookupError(f"{name} is not running")
        return process.pid

    def stop(self, *, patience_s: float = 15.0) -> None:
        self._stopping.set()
        self._watch.join(timeout=5)
        for child in reversed(self._children.values()):
            if child.process is not None:
                _end(child.process, patience_s)

    def _keep(self) -> None:
        while not self._stopping.wait(0.2):
            for child in self._children.values():
                self._revive(child)

    def _revive(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and child.process.poll() is None:
            if now - child.started > _STEADY_S:
                child.failures = 0
            return
        if child.process is not None:
            log.error("process_died", name=child.name, code=child.process.returncode)
            pause_s = _PAUSES_S[min(child.failures, len(_PAUSES_S) - 1)]
            child.process, child.failures, child.not_before = None, child.failures + 1, now + pause_s
        if now >= child.not_before:
            self._spawn(child)

    def _spawn(self, child: _Child) -> None:
        output = subprocess.DEVNULL
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            path = self._log_dir / f"{child.name}.log"
            with path.open("ab") as file:
                child.process = self._popen([*child.command, "--log-file", str(path)], file.fileno())
        else:
            child.process = self._popen(child.command, output)
        child.started = time.monotonic()

    def _popen(self, command: Sequence[str], output: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end(process: "subprocess.Popen[bytes]", patience_s: float) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

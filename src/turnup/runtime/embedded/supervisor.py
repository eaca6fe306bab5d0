"""The one supervisor of a data directory: holds its lock, keeps PostgreSQL running, stops it at the end.

It survives what may happen to it: a postmaster left behind by a killed supervisor is adopted if it is healthy
and ours, replaced if it is not; a postmaster that dies is started again, after ever longer pauses.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import structlog

from turnup.kernel.errors import Conflict, Unavailable
from turnup.runtime.embedded.access import ConnectionInfo, attach, probe
from turnup.runtime.embedded.cluster import Cluster
from turnup.runtime.embedded.layout import (
    OWNER_ROLE,
    PORT,
    Layout,
    account_for,
    binaries_for,
    read_json,
    write_json,
)

_WATCH_S = 0.1
_HEALTH_EVERY_S = 10.0
_HEALTH_FAILURES_MAX = 3
_PAUSE_S_FIRST = 0.1
_PAUSE_S_MAX = 10.0
_CALM_S = 60.0
_READY_S_MAX = 300.0  # crash recovery replays up to max_wal_size
_ADOPT_S_MAX = 10.0

log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """PostgreSQL of one data directory. `supervise()` holds it in this process for the time of a `with`."""

    def __init__(self, data_dir: Path | str, *, account: str | None = None, ephemeral: bool = False) -> None:
        self._layout = Layout.of(data_dir)
        self._account = account
        self._ephemeral = ephemeral

    @contextlib.contextmanager
    def supervise(self) -> Iterator[ConnectionInfo]:
        """Start (or adopt) PostgreSQL, keep it running until the block ends, then stop it fast.

        Raises Conflict naming the holder when another process supervises this data directory, Unavailable
        when PostgreSQL does not start.
        """
        with held(self._layout):
            account = account_for(self._account)
            cluster = Cluster(self._layout, binaries_for(account), account, self._ephemeral)
            watch = _Watch(cluster)
            try:
                yield watch.begin()
            finally:
                watch.end()
        if self._ephemeral:
            shutil.rmtree(self._layout.socket_dir(), ignore_errors=True)
            shutil.rmtree(self._layout.data_dir, ignore_errors=True)

    def reload(self) -> None:
        """Have the running PostgreSQL read its configuration again."""
        with psycopg.connect(attach(self._layout.data_dir).conninfo(), autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")


@contextlib.contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Hold the data directory's lock; the kernel releases it with our death, however that comes."""
    layout.data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for attempt in range(5):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # whoever asks "is it held?" takes the lock for an instant; a holder keeps it
                if attempt == 4:
                    raise _refusal(layout) from None
                time.sleep(0.05)
        write_holder(descriptor)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def write_holder(descriptor: int) -> None:
    """Say in the lock file itself who holds it (written in place: a renamed file would lose the lock)."""
    command = " ".join(sys.orig_argv)[:300].replace("\\", "/").replace('"', "'")
    content = f'{{"pid": {os.getpid()}, "command": "{command}"}}\n'.encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _refusal(layout: Layout) -> Conflict:
    holder = read_json(layout.lock_file) or {}
    who = f"process {holder.get('pid', '?')} ({holder.get('command', 'starting')})"
    return Conflict(
        f"{layout.data_dir} is supervised by {who}",
        field="data_dir",
        remedy="attach to it, stop that process, or set TURNUP_DATA_DIR to another data directory",
    )


class _Watch:
    """The thread that keeps a postmaster alive, and what it knows about the present one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._layout = cluster.layout
        self._conninfo = ConnectionInfo(
            self._layout.data_dir, self._layout.socket_dir(), "", 0, None
        ).conninfo()
        self._postmaster: psutil.Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="postgres-supervisor", daemon=True)

    def begin(self) -> ConnectionInfo:
        changed = self._cluster.prepare()
        if changed or not self._adopt():
            self._replace()
        self._write_state()
        assert self._postmaster is not None
        pid = self._postmaster.pid
        self._thread.start()
        return ConnectionInfo(
            self._layout.data_dir, self._layout.socket_dir(), self._cluster.binaries.version, pid, os.getpid()
        )

    def end(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        postmaster = self._postmaster or self._cluster.postmaster()
        if postmaster is not None:
            self._cluster.stop(postmaster)
        self._reap()
        self._layout.state_file.unlink(missing_ok=True)

    def _adopt(self) -> bool:
        """Take over a postmaster that a dead supervisor left behind, if it is healthy and of our version."""
        postmaster = self._cluster.postmaster()
        if postmaster is None:
            return False
        version, pid = self._await_answer(postmaster, _ADOPT_S_MAX)
        if pid != postmaster.pid or version != self._cluster.binaries.version:
            log.warning("postgres.not_adopted", pid=postmaster.pid, answers=pid, version=version)
            return False
        self._postmaster = postmaster
        log.info("postgres.adopted", pid=pid, version=version)
        return True

    def _replace(self) -> None:
        """Stop what may still run and start anew; returns when a connection has answered."""
        began = time.perf_counter()
        remaining = self._cluster.postmaster()
        if remaining is not None:
            self._cluster.stop(remaining)
        self._reap()
        self._cluster.clear_remains()
        self._child = self._cluster.launch()
        self._postmaster = psutil.Process(self._child.pid)
        version, pid = self._await_answer(self._postmaster, _READY_S_MAX)
        if pid != self._child.pid:
            words = self._cluster.last_words()
            self._cluster.stop(self._postmaster, patience_s=1)
            self._reap()
            raise Unavailable(
                f"PostgreSQL did not start in {self._layout.data_dir}: {words}",
                field="data_dir",
                remedy=f"see {self._layout.logs} and postgres-local.conf beside it",
            )
        took_ms = round((time.perf_counter() - began) * 1000)
        log.info("postgres.started", pid=pid, version=version, took_ms=took_ms)

    def _await_answer(self, postmaster: psutil.Process, wait_s: float) -> tuple[str, int]:
        """Server version and pid of who answers; ("", 0) when nobody did while the process lived."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and self._lives(postmaster):
            try:
                return probe(self._conninfo, self._layout.cluster)
            except psycopg.OperationalError as failure:
                if _is_full(failure):
                    return self._cluster.binaries.version, postmaster.pid
                time.sleep(0.01)
        return "", 0

    def _lives(self, postmaster: psutil.Process) -> bool:
        if self._child is not None and self._child.pid == postmaster.pid:
            return self._child.poll() is None
        try:
            return postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _reap(self) -> None:
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=10)
        self._child = None
        self._postmaster = None

    def _write_state(self) -> None:
        write_json(
            self._layout.state_file,
            {
                "socket_dir": str(self._layout.socket_dir()),
                "port": PORT,
                "owner_role": OWNER_ROLE,
                "version": self._cluster.binaries.version,
                "postmaster_pid": self._postmaster.pid if self._postmaster else None,
                "supervisor_pid": os.getpid(),
            },
        )

    def _keep(self) -> None:
        pause_s = _PAUSE_S_FIRST
        started = next_health = time.monotonic()
        failures = 0
        while not self._ending.wait(_WATCH_S):
            now = time.monotonic()
            healthy = self._postmaster is not None and self._lives(self._postmaster)
            if healthy and now >= next_health:
                next_health = now + _HEALTH_EVERY_S
                failures = 0 if self._answers() else failures + 1
                self._cluster.prune_logs()
                healthy = failures < _HEALTH_FAILURES_MAX
            if healthy:
                continue
            if now - started > _CALM_S:
                pause_s = _PAUSE_S_FIRST
            log.error("postgres.died", silent=failures > 0, pause_s=pause_s, words=self._cluster.last_words())
            if self._ending.wait(pause_s):
                return
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)
            self._restart()
            started, failures = time.monotonic(), 0
            next_health = started + _HEALTH_EVERY_S

    def _restart(self) -> None:
        try:
            self._cluster.prepare()
            self._replace()
            self._write_state()
        except (Unavailable, OSError, psutil.Error) as failure:
            log.error("postgres.restart_failed", reason=str(failure))  # the next round tries again

    def _answers(self) -> bool:
        try:
            probe(self._conninfo, self._layout.cluster)
        except psycopg.OperationalError as failure:
            if _is_full(failure):
                return True
            log.warning("postgres.silent", reason=str(failure))
            return False
        return True


def _is_full(failure: psycopg.OperationalError) -> bool:
    """Whether PostgreSQL answered, only to say that it has no connection to spare."""
    # a refused connection carries no SQLSTATE; our servers speak C-locale English
    return "too many clients" in str(failure) or "remaining connection slots" in str(failure)


def run(data_dir: Path, *, account: str | None, ephemeral: bool, until_pid: int | None) -> None:
    """Be the supervisor process until SIGTERM or SIGINT (fast stop), or until `until_pid` ends.

    SIGHUP is passed on as a reload of the configuration.
    """
    engine = EmbeddedPostgres(data_dir, account=account, ephemeral=ephemeral)
    try:
        watched = psutil.Process(until_pid) if until_pid else None
    except psutil.NoSuchProcess:
        return
    asked = threading.Event()
    reload = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    with engine.supervise() as info:
        log.info("supervisor.ready", data_dir=str(info.data_dir), socket_dir=str(info.socket_dir))
        while not asked.wait(0.2):
            if reload.is_set():
                reload.clear()
                engine.reload()
            if watched is not None and (not watched.is_running() or watched.status() == psutil.STATUS_ZOMBIE):
                break
    log.info("supervisor.stopped")

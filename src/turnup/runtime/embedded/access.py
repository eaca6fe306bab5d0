"""Attaching to an engine that someone else supervises, and starting that someone when nobody does.

A state file is only a claim; it counts once a connection through it answered and named the same cluster.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from turnup.kernel.errors import Unavailable
from turnup.runtime.embedded.layout import OWNER_ROLE, PORT, Layout, is_locked, read_json


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """How to reach a running engine. Each method takes a database and, where not the owner, a role."""

    data_dir: Path
    socket_dir: Path
    version: str
    postmaster_pid: int
    supervisor_pid: int | None
    """None while no supervisor lives: the engine answers, yet nobody would bring it back."""

    def conninfo(self, database: str = "postgres", role: str = OWNER_ROLE) -> str:
        """A libpq connection string, for psycopg."""
        return make_conninfo(host=str(self.socket_dir), port=PORT, user=role, dbname=database)

    def url(self, database: str, role: str = OWNER_ROLE, driver: str = "postgresql+psycopg") -> str:
        """A URL for SQLAlchemy; ``driver="postgresql"`` makes it one for libpq."""
        host = quote(str(self.socket_dir), safe="/")
        return f"{driver}://{quote(role)}@/{quote(database)}?host={host}&port={PORT}"

    def environment(self, database: str, role: str = OWNER_ROLE) -> dict[str, str]:
        """PGHOST and company, for psql and pg_dump."""
        return {"PGHOST": str(self.socket_dir), "PGPORT": str(PORT), "PGUSER": role, "PGDATABASE": database}


@dataclass(frozen=True, slots=True)
class State:
    """What there is in a data directory, for `turnup doctor`: facts, each found out on its own."""

    data_dir: Path
    initialised: bool
    cluster_major: int | None
    supervisor_pid: int | None
    answers: bool
    reason: str | None
    """Why the engine does not answer."""


def probe(conninfo: str, cluster: Path, timeout_s: float = 5) -> tuple[str, int]:
    """Connect and prove that this cluster answers: its server version and postmaster pid.

    Raises psycopg.OperationalError when nothing (or another cluster) answers.
    """
    with psycopg.connect(conninfo, connect_timeout=max(2, int(timeout_s)), autocommit=True) as connection:
        row = connection.execute(
            "select current_setting('server_version'), current_setting('data_directory'),"
            " split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int"
        ).fetchone()
    if row is None or Path(row[1]) != cluster:
        raise psycopg.OperationalError(f"another cluster answers: {row}")
    return str(row[0]), int(row[2])


def supervisor_of(layout: Layout) -> dict[str, Any] | None:
    """What the living supervisor wrote about itself (pid, command), None when no one holds the lock."""
    if not is_locked(layout.lock_file):
        return None
    return read_json(layout.lock_file) or {}


def attach(data_dir: Path | str) -> ConnectionInfo:
    """The running engine of this data directory, proved by connecting; never starts one.

    Raises Unavailable saying why not and what to do.
    """
    layout = Layout.of(data_dir)
    claim = read_json(layout.state_file)
    supervisor = supervisor_of(layout)
    if claim is None:
        raise Unavailable(
            f"PostgreSQL of {layout.data_dir} is being started by process {supervisor.get('pid')}"
            if supervisor is not None
            else f"no PostgreSQL was started in {layout.data_dir}",
            field="data_dir",
            remedy="try again in a moment"
            if supervisor is not None
            else "run `turnup up`, or check TURNUP_DATA_DIR",
        )
    info = ConnectionInfo(
        layout.data_dir,
        Path(claim["socket_dir"]),
        "",
        0,
        None if supervisor is None else supervisor.get("pid"),
    )
    try:
        version, postmaster_pid = probe(info.conninfo(), layout.cluster)
    except psycopg.OperationalError as failure:
        raise Unavailable(
            f"PostgreSQL of {layout.data_dir} does not answer: {_first_line(failure)}",
            field="data_dir",
            remedy=f"its supervisor, process {supervisor.get('pid')}, brings it back; see {layout.logs}"
            if supervisor is not None
            else "its supervisor is gone; run `turnup up`",
        ) from failure
    return ConnectionInfo(info.data_dir, info.socket_dir, version, postmaster_pid, info.supervisor_pid)


def _first_line(failure: Exception) -> str:
    return str(failure).strip().splitlines()[0] if str(failure).strip() else type(failure).__name__


def state(data_dir: Path | str) -> State:
    """What there is in this data directory; never raises for a dead or absent engine."""
    layout = Layout.of(data_dir)
    supervisor = supervisor_of(layout)
    reason = None
    try:
        attach(data_dir)
    except Unavailable as failure:
        reason = str(failure)
    return State(
        data_dir=layout.data_dir,
        initialised=layout.version_stamp() is not None,
        cluster_major=layout.version_stamp(),
        supervisor_pid=None if supervisor is None else supervisor.get("pid"),
        answers=reason is None,
        reason=reason,
    )


def ensure_running(
    data_dir: Path | str,
    *,
    timeout_s: float = 60,
    account: str | None = None,
    until_pid: int | None = None,
    ephemeral: bool = False,
) -> ConnectionInfo:
    """Attach; where nobody supervises, start a detached supervisor process first and wait for its engine.

    It outlives us, unless `until_pid` names a process whose end is also its end. `ephemeral` is for tests:
    no flush to disk, and the data directory is removed at the end. Safe to call from many processes at once.
    """
    layout = Layout.of(data_dir)
    if supervisor_of(layout) is not None:
        return _wait_for(layout, timeout_s, None)
    command = [sys.executable, "-m", "turnup.runtime.embedded", "--data-dir", str(layout.data_dir)]
    command += ["--account", account] if account else []
    command += ["--until-pid", str(until_pid)] if until_pid else []
    command += ["--ephemeral"] if ephemeral else []
    layout.data_dir.mkdir(parents=True, exist_ok=True)
    with layout.supervisor_log.open("ab") as log:
        starter = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=_environment(),
        )
    return _wait_for(layout, timeout_s, starter)


def _environment() -> Mapping[str, str]:
    # a PG* variable of the caller must not steer the supervisor's own connections
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _wait_for(layout: Layout, timeout_s: float, starter: "subprocess.Popen[bytes] | None") -> ConnectionInfo:
    deadline = time.monotonic() + timeout_s
    while True:
        # read before attaching: a supervisor that lost the race for the lock ends while the winner starts
        ended = starter is not None and starter.poll() is not None
        try:
            info = attach(layout.data_dir)
        except Unavailable as failure:
            held = supervisor_of(layout) is not None
            if (ended and not held) or time.monotonic() > deadline:
                raise Unavailable(
                    f"{failure.message}; {_last_line(layout)}", field="data_dir", remedy=failure.remedy
                ) from failure
        else:
            # a supervisor that is still adopting holds the lock, but the state file names its predecessor
            claim = read_json(layout.state_file) or {}
            if info.supervisor_pid is not None and claim.get("supervisor_pid") == info.supervisor_pid:
                return info
            if ended or time.monotonic() > deadline:
                raise Unavailable(
                    f"PostgreSQL of {layout.data_dir} answers without a supervisor; {_last_line(layout)}",
                    field="data_dir",
                    remedy=f"see {layout.supervisor_log}",
                )
        time.sleep(0.02)


def _last_line(layout: Layout) -> str:
    try:
        lines = layout.supervisor_log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return f"the supervisor said: {lines[-1]}" if lines else "its supervisor said nothing"


def create_database(info: ConnectionInfo, name: str, *, template: str | None = None) -> bool:
    """Create a database unless it exists; True when it is new. `template` is copied whole."""
    statement = sql.SQL("create database {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" template {}").format(sql.Identifier(template))
    with psycopg.connect(info.conninfo(), autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return False
        try:
            connection.execute(statement)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return False  # someone else was faster
    return True


def drop_database(info: ConnectionInfo, name: str) -> None:
    """Drop a database if it exists, ending its connections."""
    with psycopg.connect(info.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def rename_database(info: ConnectionInfo, old: str, new: str) -> None:
    """Give a database another name; nobody may be connected to it."""
    statement = sql.SQL("alter database {} rename to {}").format(sql.Identifier(old), sql.Identifier(new))
    with psycopg.connect(info.conninfo(), autocommit=True) as connection:
        connection.execute(statement)

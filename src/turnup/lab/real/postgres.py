"""A small PostgreSQL (Debian's) in a namespace: the own database of Kea, and of each AAA server.

`initdb` is run once and copied. Everybody authenticates by SCRAM, on TCP; the superuser only through the
socket, as the account `postgres`.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from turnup.lab.real.machine import (
    RealLabError,
    inside,
    postgres_binaries,
    run,
    start,
    succeeds,
    wait_for,
    write,
)

_ACCOUNT = "postgres"
PORT = 5432
_SETTINGS = """
listen_addresses = '{address},127.0.0.1'
unix_socket_directories = '{folder}'
password_encryption = 'scram-sha-256'
shared_buffers = 32MB
max_connections = 60
fsync = off
log_min_error_statement = panic
log_min_duration_statement = -1
"""
_ACCESS = """
local all postgres peer
host all all 127.0.0.1/32 scram-sha-256
host all all 198.18.0.0/24 scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """One running cluster."""

    namespace: str
    address: str
    folder: Path

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run statements as the superuser; the rows, unaligned."""
        return run(*self._psql(database), "-f", "-", given=text)

    def file(self, path: Path, database: str) -> None:
        """Run a file of statements as the superuser."""
        run(*self._psql(database), "-f", path)

    def _psql(self, database: str) -> list[str]:
        psql = f"{postgres_binaries()}/psql"
        return inside(
            self.namespace, "setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--clear-groups",
            psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-d", database,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """Where a peer's database answers its manager."""

    host: str
    port: int
    database: str
    username: str
    password: str


def start_postgres(home: Path, namespace: str, address: str) -> Postgres:
    """Start a cluster in the namespace; returns when it accepts statements."""
    folder = home / namespace / "postgres"
    folder.mkdir(parents=True)
    data = folder / "data"
    shutil.copytree(_template(home), data)
    (data / "postgresql.conf").write_text(_SETTINGS.format(address=address, folder=folder), encoding="utf-8")
    (data / "pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
    for path in (folder, data, *data.rglob("*")):
        shutil.chown(path, _ACCOUNT, _ACCOUNT)
    data.chmod(0o700)
    binaries = postgres_binaries()
    log = write(folder / "log", "", owner=_ACCOUNT)
    start(namespace, log, f"{binaries}/postgres", "-D", data, account=_ACCOUNT)
    ready = inside(namespace, f"{binaries}/pg_isready", "-q", "-h", folder)
    wait_for(lambda: succeeds(ready), f"PostgreSQL of {namespace} answers")
    return Postgres(namespace, address, folder)


def _template(home: Path) -> Path:
    """A freshly made cluster that is never started."""
    made = home / "cluster"
    if made.exists():
        return made
    fresh = write(home / "cluster.part" / "log", "").parent / "data"
    shutil.chown(fresh.parent, _ACCOUNT, _ACCOUNT)
    done = subprocess.run(
        [f"{postgres_binaries()}/initdb", "-D", fresh, "--auth-host=reject", "--auth-local=peer",
         "-E", "UTF8", "--no-locale", "--no-sync", "-U", "postgres"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, user=_ACCOUNT, group=_ACCOUNT, cwd="/",
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RealLabError(f"initdb: {done.stderr[-1000:]}")
    return fresh.rename(made)

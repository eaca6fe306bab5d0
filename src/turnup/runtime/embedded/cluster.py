"""One PostgreSQL cluster on disk and its processes: make it, configure it, start it, stop it, find it.

Called only by the supervisor, which holds the data directory's lock: two processes never come here at once.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from turnup.kernel.errors import Unavailable
from turnup.runtime.embedded import swap
from turnup.runtime.embedded.layout import OWNER_ROLE, PORT, Account, Binaries, Layout, prepare_folders

_MIB = 1024 * 1024
_START_LOG = "start.log"
LOG_FILE_MIB_MAX = 10
LOG_FILES_KEPT = 10
ARCHIVE_TIMEOUT_S = 60
"""So much of the last minute is lost, at most, with the disk."""

_ARCHIVE = """\
#!/bin/sh
# Called by PostgreSQL with the path and the name of a finished WAL segment: copies it into the archive, whole
# or not at all. Until the first `turnup backup` there is no archive, and nothing to do.
set -e
here=$(dirname "$0")
[ -f "$here/archive-to" ] || exit 0
to=$(cat "$here/archive-to")
if [ -f "$to/$2.gz" ]; then
  gunzip -c "$to/$2.gz" | cmp -s - "$1" && exit 0
  echo "the archive $to holds another segment $2" >&2
  exit 1
fi
gzip -1 -c "$1" > "$to/.$2.part"
sync "$to/.$2.part"
mv "$to/.$2.part" "$to/$2.gz"
sync "$to"
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster: its paths, its binaries and the account that runs it."""

    layout: Layout
    binaries: Binaries
    account: Account
    ephemeral: bool

    def prepare(self) -> bool:
        """Make what is missing and write the configuration; True when the configuration changed.

        Raises Unavailable when another major version wrote the cluster.
        """
        prepare_folders(self.layout, self.account)
        swap.finish(self.layout)
        self._prepare_cluster()
        self.layout.archive_script.write_text(_ARCHIVE)
        self.layout.archive_script.chmod(0o644)
        written = [
            self._write("postgresql.conf", self._configuration()),
            self._write(
                "pg_hba.conf", "local all all peer map=turnup\nlocal replication all peer map=turnup\n"
            ),
            self._write("pg_ident.conf", self._identities()),
        ]
        return any(written)

    def _prepare_cluster(self) -> None:
        stamp = self.layout.version_stamp()
        if stamp is None:
            self._initdb()
        elif stamp != self.binaries.major:
            raise Unavailable(
                f"{self.layout.cluster} was written by PostgreSQL {stamp}; the installed binaries are "
                f"{self.binaries.version}",
                field="data_dir",
                remedy="run `turnup upgrade`, which brings it over and keeps the old one",
            )

    def _initdb(self) -> None:
        draft = self.layout.engine / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        # C.UTF-8 of the built-in provider: sorts by code point, yet upper() and ILIKE know more than ASCII
        self.run(
            "initdb", "-D", draft, "-U", OWNER_ROLE, "-E", "UTF8", "--no-locale",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums",
            "--auth=peer", "--no-sync", "--no-instructions",
        )  # fmt: skip
        if not self.ephemeral:
            self.run("initdb", "-D", draft, "--sync-only")
        draft.rename(self.layout.cluster)  # a cluster is there whole or not at all

    def run(self, program: str, *arguments: str | Path, folder: Path = Path("/")) -> None:
        """Run one of PostgreSQL's programs as the account, to its end. Raises Unavailable with its words."""
        done = subprocess.run(
            [self.binaries.program(program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=folder,
            env=self._environment(),
            check=False,
            **self.account.popen_options(),
        )
        if done.returncode != 0:
            raise Unavailable(
                f"{program} failed: {done.stderr.strip() or done.stdout.strip()}",
                field="data_dir",
                remedy=f"see that {self.layout.engine} has space and belongs to {self.account.name}",
            )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def _write(self, name: str, content: str) -> bool:
        path = self.layout.cluster / name
        if path.exists() and path.read_text() == content:
            return False
        draft = path.with_name(f"{name}.new")
        draft.write_text(content)
        draft.chmod(0o600)
        if self.account.switch:
            os.chown(draft, self.account.uid, self.account.gid)
        draft.replace(path)
        return True

    def _identities(self) -> str:
        """Who may connect as any role: the account itself and the user who supervises."""
        names = sorted({self.account.name, pwd.getpwuid(os.geteuid()).pw_name})
        return "".join(f'turnup "{name}" all\n' for name in names)

    def _configuration(self) -> str:
        """Tuned for a small machine shared with Turnup itself: an eighth of the memory, at most 1 GiB."""
        memory_mib = psutil.virtual_memory().total // _MIB
        settings: dict[str, str | float] = {
            "listen_addresses": "''",
            "port": PORT,
            "unix_socket_directories": f"'{self.layout.socket_dir()}'",
            "unix_socket_permissions": "0700",
            "max_connections": 200,
            "shared_buffers": f"{max(64, min(memory_mib // 8, 1024))}MB",
            "effective_cache_size": f"{max(256, memory_mib // 2)}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": f"{max(64, min(memory_mib // 16, 256))}MB",
            "jit": "off",
            "random_page_cost": 1.1,
            "wal_level": "logical",
            "synchronous_commit": "on",
            "min_wal_size": "256MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "wal_compression": "pglz",
            "archive_mode": "on",
            "archive_command": f'\'/bin/sh "{_quoted(self.layout.archive_script)}" "%p" "%f"\'',
            "archive_timeout": ARCHIVE_TIMEOUT_S,
            # queue-like tables (events, workflows) die row by row: clean them early and often
            "autovacuum_naptime": "15s",
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_analyze_scale_factor": 0.05,
            "timezone": "'UTC'",
            "datestyle": "'iso, ymd'",
            "default_text_search_config": "'pg_catalog.simple'",
            "lc_messages": "'C'",
            "logging_collector": "on",
            "log_directory": f"'{self.layout.logs}'",
            "log_filename": "'postgres-%Y%m%d-%H%M%S.log'",
            "log_rotation_age": 0,
            "log_rotation_size": f"{LOG_FILE_MIB_MAX}MB",
            "log_timezone": "'UTC'",
            "log_line_prefix": "'%m [%p] %q%u@%d %a '",
        }
        if _small_shared_memory():
            # containers often have 64 MB of /dev/shm, which a parallel query outgrows
            settings["dynamic_shared_memory_type"] = "mmap"
        if self.ephemeral:
            settings |= {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
            settings |= {"archive_mode": "off"}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        own = self.layout.data_dir / "postgres-local.conf"
        title = "# Written by Turnup at every start; put your own settings into the file named last."
        return "\n".join([title, *lines, f"include_if_exists = '{own}'", ""])

    def processes(self) -> list[psutil.Process]:
        """Every living process of this cluster, the postmaster and its backends: they work in its folder.

        Found by the kernel's word, not by a pid file, whose pid may by now belong to someone else.
        """
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if (
                    process.cwd() == str(self.layout.cluster)
                    and process.name() == "postgres"
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def postmaster(self) -> psutil.Process | None:
        """The living postmaster of this cluster, if any."""
        try:
            pid = int((self.layout.cluster / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.cwd() == str(self.layout.cluster) and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def clear_remains(self) -> None:
        """After a postmaster's violent death: see its backends gone, then remove its pid file.

        PostgreSQL would refuse to start if the recorded pid were meanwhile anyone's. Its own check against
        living backends leans on that file, hence the order.
        """
        _end(self.processes(), (signal.SIGQUIT, signal.SIGKILL), patience_s=2)
        for name in ("postmaster.pid", "postmaster.opts"):
            (self.layout.cluster / name).unlink(missing_ok=True)
        for remains in self.layout.socket_dir().glob(".s.PGSQL.*"):
            remains.unlink(missing_ok=True)

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start the postmaster in a session of its own: a Ctrl-C on our terminal must not reach it."""
        start_log = self.layout.logs / _START_LOG
        with start_log.open("wb") as log:
            if self.account.switch:
                os.chown(log.fileno(), self.account.uid, self.account.gid)
            return subprocess.Popen(
                [self.binaries.program("postgres"), "-D", self.layout.cluster],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment(),
                start_new_session=True,
                **self.account.popen_options(),
            )

    def last_words(self) -> str:
        """The last lines PostgreSQL wrote, for the message of an error."""
        lines: list[str] = []
        newest = sorted(self.layout.logs.glob("postgres-*.log"))[-1:]
        for path in [self.layout.logs / _START_LOG, *newest]:
            with contextlib.suppress(OSError):
                lines += path.read_text(errors="replace").strip().splitlines()[-3:]
        return " | ".join(lines) or "PostgreSQL said nothing"

    def stop(self, postmaster: psutil.Process, patience_s: float = 30) -> None:
        """Fast shutdown (SIGINT), then immediate (SIGQUIT), at last SIGKILL, which recovery mends."""
        for number, wait_s in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 5.0)):
            with contextlib.suppress(psutil.NoSuchProcess):
                postmaster.send_signal(number)
                postmaster.send_signal(signal.SIGCONT)  # a stopped process would never see the first
            if _gone([postmaster], wait_s):
                return
        _end([postmaster], (signal.SIGKILL,), patience_s=5)
        self.clear_remains()

    def prune_logs(self) -> None:
        """Keep the newest log files; PostgreSQL itself begins a new one by size."""
        for path in sorted(self.layout.logs.glob("postgres-*.log"))[:-LOG_FILES_KEPT]:
            path.unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    """Inside single quotes of postgresql.conf, and a per cent sign is the archiver's own."""
    return str(path).replace("'", "''").replace("%", "%%")


def _small_shared_memory() -> bool:
    try:
        return shutil.disk_usage("/dev/shm").total < 256 * _MIB
    except OSError:
        return False


def _gone(processes: Sequence[psutil.Process], wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while any(_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end(processes: Sequence[psutil.Process], signals: Sequence[signal.Signals], patience_s: float) -> None:
    """Wait for processes that are about to end by themselves; signal them when patience runs out."""
    if _gone(processes, patience_s):
        return
    for number in signals:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if _gone(processes, patience_s):
            return

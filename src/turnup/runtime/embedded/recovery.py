"""Brings a base backup to an instant, beside the present cluster: nothing of that is touched here.

The backup is copied into the staging area, WAL is replayed up to the wanted instant from the archive and,
for the last minute, from the present cluster's own WAL, and the result is promoted on a timeline of its own.
Whoever calls may then work on it before it takes the place of the present one (`swap`).
"""

import contextlib
import gzip
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg

from turnup.kernel.errors import InvalidInput, Unavailable
from turnup.runtime import faultpoint
from turnup.runtime.embedded.access import ConnectionInfo
from turnup.runtime.embedded.backups import Backup, BackupStore, Progress, silent
from turnup.runtime.embedded.cluster import Cluster
from turnup.runtime.embedded.layout import Account, Binaries, Layout

_ANSWER_S_MAX = 600.0
"""The first answer may take that long: until then it reads WAL without being consistent."""
_POLL_S = 0.05
_TOO_LATE = "recovery ended before configured recovery target was reached"

_FETCH = """\
#!/bin/sh
# Called by PostgreSQL in recovery with the name of a WAL segment and where to put it: from the archive, else
# from the WAL that the replaced cluster had not archived yet.
archive='{archive}'
former='{former}'
if [ -f "$archive/$1.gz" ]; then
  gunzip -c "$archive/$1.gz" > "$2.part" && mv "$2.part" "$2" && exit 0
  exit 1
fi
[ -f "$former/$1" ] && cp "$former/$1" "$2.part" && mv "$2.part" "$2" && exit 0
exit 1
"""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A promoted cluster in the staging area, running. `reached` is the last transaction it holds."""

    info: ConnectionInfo
    cluster_dir: Path
    reached: datetime | None


@contextlib.contextmanager
def recovered(
    layout: Layout,
    store: BackupStore,
    backup: Backup,
    target: datetime | None,
    *,
    binaries: Binaries,
    account: Account,
    progress: Progress = silent,
) -> Iterator[Recovered]:
    """For the time of the block, the state at `target` (None: the newest) as a running cluster of its own;
    stopped cleanly afterwards, its files ready in `cluster_dir`. What a former try left is wiped.

    Raises InvalidInput naming `to` when the WAL ends before the target, Unavailable when it does not start.
    """
    staging = Layout.of(layout.staging)
    if staging.data_dir.exists():
        Cluster(staging, binaries, account, ephemeral=False).clear_remains()
        shutil.rmtree(staging.data_dir)
    _require_space(layout, backup.size_bytes)
    _copy(store.data_of(backup), staging, account, progress, backup.size_bytes)
    faultpoint.reach("restore.copied")
    _write_recovery(staging, layout, store, target, account)
    cluster = Cluster(staging, binaries, account, ephemeral=False)
    cluster.prepare()
    info = ConnectionInfo(staging.data_dir, staging.socket_dir(), binaries.version, 0, None)
    process = cluster.launch()
    postmaster = psutil.Process(process.pid)
    try:
        _until_promoted(info, process.poll, cluster, target, progress)
        faultpoint.reach("restore.replayed")
        yield Recovered(info, staging.cluster, _last_transaction(info))
    finally:
        if process.poll() is None:
            cluster.stop(postmaster)
        process.wait()
    (staging.cluster / "postgresql.conf").unlink()  # the next start writes it for its new place


def keep_histories(cluster_dir: Path, store: BackupStore, account: Account) -> None:
    """The archive must know every timeline that was ever begun, so that none is begun twice."""
    for history in (cluster_dir / "pg_wal").glob("*.history"):
        target = store.wal / f"{history.name}.gz"
        if not target.exists():
            import_history(history, target, account)


def import_history(history: Path, target: Path, account: Account) -> None:
    """Write one history file into the archive as the archive script would have."""
    draft = target.with_name(f".{target.name}.part")
    draft.write_bytes(gzip.compress(history.read_bytes(), compresslevel=1))
    if account.switch:
        os.chown(draft, account.uid, account.gid)
    draft.replace(target)


def _require_space(layout: Layout, size_bytes: int) -> None:
    free = shutil.disk_usage(layout.data_dir).free
    needed = size_bytes + size_bytes // 5 + (256 << 20)
    if free < needed:
        raise Unavailable(
            f"{needed >> 20} MiB are needed beside the present data, {free >> 20} MiB are free",
            field="data_dir",
            remedy="free space; the present data is kept until you discard it",
        )


def _copy(source: Path, staging: Layout, account: Account, progress: Progress, total: int) -> None:
    done = 0

    def copy(here: str, there: str) -> str:
        nonlocal done
        shutil.copy2(here, there)
        if account.switch:
            os.chown(there, account.uid, account.gid)
        done += Path(there).stat().st_size
        progress("copying", done, total)
        return there

    staging.engine.mkdir(parents=True)
    shutil.copytree(source, staging.cluster, copy_function=copy, symlinks=True)
    for folder in (staging.engine, *(Path(root) for root, _, _ in os.walk(staging.cluster))):
        folder.chmod(0o700)
        if account.switch:
            os.chown(folder, account.uid, account.gid)


def _write_recovery(
    staging: Layout, layout: Layout, store: BackupStore, target: datetime | None, account: Account
) -> None:
    script = staging.engine / "fetch.sh"
    shell = {"archive": store.wal, "former": layout.cluster / "pg_wal"}
    quoted = {name: str(path).replace("'", "'\\''") for name, path in shell.items()}
    script.write_text(_FETCH.format(**quoted))
    script.chmod(0o644)
    own = layout.data_dir / "postgres-local.conf"
    lines = [own.read_text() if own.exists() else ""]
    place = str(script).replace("'", "''").replace("%", "%%")
    lines += [
        "archive_mode = off  # a try that is given up must leave nothing in the archive",
        f'restore_command = \'/bin/sh "{place}" "%f" "%p"\'',
        "recovery_target_timeline = 'current'",
        "recovery_target_action = 'promote'",
    ]
    if target is not None:
        lines.append(f"recovery_target_time = '{target.astimezone(UTC).isoformat(sep=' ')}'")
    conf = staging.data_dir / "postgres-local.conf"
    conf.write_text("\n".join(lines) + "\n")
    conf.chmod(0o644)
    signal_file = staging.cluster / "recovery.signal"
    signal_file.touch(mode=0o600)
    if account.switch:
        os.chown(signal_file, account.uid, account.gid)


def _until_promoted(
    info: ConnectionInfo,
    exit_code: Callable[[], int | None],
    cluster: Cluster,
    target: datetime | None,
    progress: Progress,
) -> None:
    """Wait until the cluster takes writes. Raises InvalidInput where the WAL did not reach the target."""
    until = time.monotonic() + _ANSWER_S_MAX
    while exit_code() is None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(info.conninfo()) as connection:
            row = connection.execute("select pg_is_in_recovery()").fetchone()
            if row is not None and not row[0]:
                return
            until = time.monotonic() + _ANSWER_S_MAX  # it answers, so it replays
        if time.monotonic() > until:
            raise Unavailable(
                f"the restored PostgreSQL does not answer: {cluster.last_words()}",
                field="data_dir",
                remedy=f"see {cluster.layout.logs}",
            )
        progress("replaying", 0, 0)
        time.sleep(_POLL_S)
    words = _log(cluster.layout)
    if _TOO_LATE in words:
        last = re.findall(r"last completed transaction was at log time (.+)", words)
        raise InvalidInput(
            f"the books end at {last[-1] if last else 'the backup itself'}, before {target}",
            field="to",
            remedy="name an earlier time, or `latest` for all there is",
        )
    raise Unavailable(
        f"the backup cannot be brought to {target}: {cluster.last_words()}",
        field="to",
        remedy=f"see {cluster.layout.logs}; is the archive whole? An older backup may do",
    )


def _log(layout: Layout) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(layout.logs.glob("*.log")))


def _last_transaction(info: ConnectionInfo) -> datetime | None:
    with psycopg.connect(info.conninfo(), autocommit=True) as connection:
        row = connection.execute("select pg_last_xact_replay_timestamp()").fetchone()
    found: datetime | None = row[0] if row else None
    return found

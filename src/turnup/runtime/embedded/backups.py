"""Base backups and the WAL archive of an embedded cluster: take, verify, list, let go.

    FOLDER/base/20261124T050000Z/       one backup: `data` (as pg_basebackup wrote it) and `backup.json`
    FOLDER/wal/000000010000000000000007.gz   every WAL segment since the first backup

A backup without `backup.json` under its final name does not exist: it is written under a name that begins
with a dot, verified by pg_verifybackup, and renamed last. Restoring is `recovery`'s.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from turnup.kernel.errors import Conflict, InvalidInput, Unavailable
from turnup.runtime import faultpoint
from turnup.runtime.embedded.access import ConnectionInfo
from turnup.runtime.embedded.layout import Account, Binaries, Layout, read_json, write_json
from turnup.runtime.embedded.swap import folder_size, sync_folder

_MANIFEST = "backup.json"
_PROGRESS_EVERY_S = 0.5

Progress = Callable[[str, int, int], None]
"""(what is being done, bytes done, bytes in all or 0 where unknown)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A progress nobody looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup. A restore can go to any instant from `usable_from` on, as far as the archive goes."""

    name: str
    started_at: datetime
    usable_from: datetime
    size_bytes: int
    server_version: str
    timeline: int
    first_segment: str
    """The oldest WAL segment a restore of it needs."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the caller wants to know at a restore: schema revision, ids of the keys (never the keys)."""

    @property
    def major(self) -> int:
        return int(self.server_version.split(".")[0])


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """How the archiving of WAL fares, by PostgreSQL's own count. `last_*_at` are None before the first."""

    pointed_at: Path | None
    """The folder it goes to; None as long as there was no backup."""
    last_archived_at: datetime | None
    last_failed_at: datetime | None
    failing: bool


class BackupStore:
    """The folder of an installation's backups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def wal(self) -> Path:
        return self.folder / "wal"

    def data_of(self, backup: Backup) -> Path:
        return self.base / backup.name / "data"

    def backups(self) -> list[Backup]:
        """Whole backups, the oldest first."""
        if not self.base.is_dir():
            return []
        found = (self._read(path) for path in sorted(self.base.iterdir()) if not path.name.startswith("."))
        return [backup for backup in found if backup is not None]

    def _read(self, path: Path) -> Backup | None:
        noted = read_json(path / _MANIFEST)
        if noted is None:
            return None
        noted.pop("manifest_sha256")
        instants = {name: datetime.fromisoformat(noted[name]) for name in ("started_at", "usable_from")}
        return Backup(**{**noted, **instants})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One backup at a time; the kernel frees the lock with the process."""
        self.base.mkdir(parents=True, exist_ok=True)
        with (self.folder / "backup.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"a backup into {self.folder} is under way",
                    field="backup_dir",
                    remedy="wait for it to end, then repeat",
                ) from None
            for left in self.base.glob(".*"):  # of a backup that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield

    # --- take ---------------------------------------------------------------------------------------------

    def take(
        self,
        layout: Layout,
        info: ConnectionInfo,
        binaries: Binaries,
        account: Account,
        *,
        facts: Mapping[str, Any],
        keep: int,
        progress: Progress = silent,
    ) -> Backup:
        """Back up the running cluster, verify what was written, then let go of all but the newest `keep`.

        Raises Conflict while another one is under way, Unavailable where PostgreSQL or the disk says no.
        """
        if keep < 1:
            raise InvalidInput("a backup less than one", field="keep", remedy="keep at least 1")
        with self._alone():
            self._point_archive(layout, account)
            started_at = _server_time(info)
            name = started_at.strftime("%Y%m%dT%H%M%S.%fZ")
            draft = self.base / f".{name}"
            draft.mkdir(mode=0o700)
            try:
                self._copy(info, binaries, draft / "data", progress)
                faultpoint.reach("backup.copied")
                usable_from = _server_time(info)
                progress("verifying", 0, 0)
                verify(binaries, draft / "data")
                faultpoint.reach("backup.verified")
                backup = _described(draft / "data", name, started_at, usable_from, binaries, facts)
                self._publish(draft, backup)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            faultpoint.reach("backup.named")
            self._retire(keep)
        return backup

    def _point_archive(self, layout: Layout, account: Account) -> None:
        """From now on WAL goes to this folder; PostgreSQL's script reads the pointer each time."""
        self.wal.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account.switch:
            os.chown(self.wal, account.uid, account.gid)
        if not account.can("/bin/sh", "-c", 'test -w "$0"', self.wal):
            raise Unavailable(
                f"the account {account.name!r}, which runs PostgreSQL, cannot write to {self.wal}",
                field="backup_dir",
                remedy="name a folder below directories that everyone may traverse",
            )
        draft = layout.archive_pointer.with_suffix(".new")
        draft.write_text(f"{self.wal}\n")
        draft.chmod(0o644)
        draft.replace(layout.archive_pointer)

    def _copy(self, info: ConnectionInfo, binaries: Binaries, target: Path, progress: Progress) -> None:
        with _watched(info, progress):
            done = subprocess.run(
                [
                    binaries.program("pg_basebackup"), "-D", target, "-d", info.conninfo(), "--format=plain",
                    "--checkpoint=fast", "--wal-method=stream", "--manifest-checksums=SHA256", "--progress",
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                umask=0o077,
            )  # fmt: skip
        if done.returncode != 0:
            raise Unavailable(
                f"pg_basebackup failed: {_last_line(done.stderr)}",
                field="backup_dir",
                remedy=f"is there space on the disk of {self.folder}? see PostgreSQL's log",
            )

    def _publish(self, draft: Path, backup: Backup) -> None:
        noted = {
            **asdict(backup),
            "started_at": backup.started_at.isoformat(),
            "usable_from": backup.usable_from.isoformat(),
            "manifest_sha256": _sha256(draft / "data" / "backup_manifest"),
        }
        write_json(draft / _MANIFEST, noted)
        sync_folder(draft)
        draft.rename(self.base / backup.name)
        sync_folder(self.base)

    # --- verify and let go --------------------------------------------------------------------------------

    def verify(self, backup: Backup, binaries: Binaries) -> None:
        """Every byte against the checksums written with it, WAL included. Raises Unavailable naming what is
        damaged."""
        noted = read_json(self.base / backup.name / _MANIFEST) or {}
        if _sha256(self.data_of(backup) / "backup_manifest") != noted.get("manifest_sha256"):
            raise Unavailable(
                f"backup {backup.name}: its list of checksums was changed",
                field="backup",
                remedy="use another backup: turnup backup list",
            )
        verify(binaries, self.data_of(backup))

    def _retire(self, keep: int) -> None:
        """Let go of what is older than the newest `keep`, and of the WAL nobody needs any more."""
        backups = self.backups()
        for old in backups[:-keep]:
            gone = self.base / f".{old.name}"
            (self.base / old.name).rename(gone)  # first it is no backup any more, then its files go
            shutil.rmtree(gone, ignore_errors=True)
        kept = backups[-keep:]
        needed = min(_position(backup.first_segment) for backup in kept)
        for path in self.wal.glob("*.gz"):
            name = path.name.removesuffix(".gz")
            if re.fullmatch(r"[0-9A-F]{24}", name) and _position(name) < needed:
                path.unlink(missing_ok=True)

    def archived_until(self) -> datetime | None:
        """When the last WAL segment was archived; None without any."""
        times = [path.stat().st_mtime for path in self.wal.glob("*.gz")] if self.wal.is_dir() else []
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def archive_state(self, layout: Layout, info: ConnectionInfo) -> ArchiveState:
        """Asks the running cluster how its archiving fares."""
        try:
            pointed_at = Path(layout.archive_pointer.read_text().strip())
        except FileNotFoundError:
            pointed_at = None
        with psycopg.connect(info.conninfo(), autocommit=True) as connection:
            row = connection.execute(
                "select last_archived_time, last_failed_time,"
                " last_failed_time > coalesce(last_archived_time, '-infinity') from pg_stat_archiver"
            ).fetchone()
        assert row is not None
        return ArchiveState(pointed_at, row[0], row[1], bool(row[2]))


def verify(binaries: Binaries, data: Path) -> None:
    """pg_verifybackup over a plain base backup. Raises Unavailable with what it found."""
    done = subprocess.run(
        [binaries.program("pg_verifybackup"), "--exit-on-error", "--quiet", data],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(
            f"the backup in {data} is damaged: {_last_line(done.stderr)}",
            field="backup",
            remedy="use another backup (turnup backup list); is the disk sound?",
        )


def _described(
    data: Path,
    name: str,
    started_at: datetime,
    usable_from: datetime,
    binaries: Binaries,
    facts: Mapping[str, Any],
) -> Backup:
    label = (data / "backup_label").read_text()
    segment = re.search(r"START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)", label)
    timeline = re.search(r"START TIMELINE: (\d+)", label)
    if segment is None or timeline is None:
        raise Unavailable(f"backup_label of {data} says no start", remedy="take the backup again")
    return Backup(
        name=name,
        started_at=started_at,
        usable_from=usable_from,
        size_bytes=folder_size(data),
        server_version=binaries.version,
        timeline=int(timeline[1]),
        first_segment=segment[1],
        facts=facts,
    )


def _position(segment: str) -> str:
    """Without the timeline: a later timeline goes on where the earlier one ended."""
    return segment[8:]


def _server_time(info: ConnectionInfo) -> datetime:
    with psycopg.connect(info.conninfo(), autocommit=True) as connection:
        row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found.astimezone(UTC)


@contextmanager
def _watched(info: ConnectionInfo, progress: Progress) -> Iterator[None]:
    """Report what PostgreSQL says of the base backup, until the block ends."""
    ended = threading.Event()

    def look() -> None:
        with psycopg.connect(info.conninfo(), autocommit=True) as connection:
            while not ended.wait(_PROGRESS_EVERY_S):
                row = connection.execute(
                    "select backup_streamed, coalesce(backup_total, 0) from pg_stat_progress_basebackup"
                ).fetchone()
                if row is not None:
                    progress("copying", int(row[0]), int(row[1]))

    if progress is silent:
        yield
        return
    thread = threading.Thread(target=look, name="backup-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _last_line(words: str) -> str:
    return next(iter(reversed(words.strip().splitlines())), "it said nothing")

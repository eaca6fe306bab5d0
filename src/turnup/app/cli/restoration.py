"""`turnup backup`, `turnup restore` and `turnup upgrade`: going back in time, and forward."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from turnup.app.cli.output import AsJson, console, errors, print_json, print_table, tell
from turnup.app.cli.session import actor, house
from turnup.app.engine import attach_engine
from turnup.app.restoration import backups as taking
from turnup.app.restoration import going_back, upgrade
from turnup.app.restoration.comparison import Comparison, compare
from turnup.app.restoration.release import Side, release
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import ServiceId
from turnup.runtime import restored
from turnup.runtime.embedded.backups import Backup, Progress, silent
from turnup.runtime.restored import Restored
from turnup.runtime.settings import load_settings

backup_app = typer.Typer(
    help="Back up embedded PostgreSQL, running or not; verified, whole or not there.",
    invoke_without_command=True,
)
restore_app = typer.Typer(
    help="Bring the books back to a time; they stay closed, the network frozen, until a person's release.",
    invoke_without_command=True,
)

_LATEST = "latest"
Keep = Annotated[
    int | None, typer.Option(help="Backups to keep, this one included; default: the setting backup_keep.")
]


def register(parent: typer.Typer) -> None:
    parent.add_typer(backup_app, name="backup")
    parent.add_typer(restore_app, name="restore")
    parent.command("upgrade")(upgrade_command)


# --- backup ----------------------------------------------------------------------------------------------


@backup_app.callback()
def take(context: typer.Context, keep: Keep = None, as_json: AsJson = False) -> None:
    """Take a backup now. From the first one on, everything written since is archived as well."""
    if context.invoked_subcommand is not None:
        return
    with _progress(as_json=as_json) as progress:
        done = taking.take_backup(load_settings(), keep=keep, progress=progress)
    if as_json:
        print_json(_shown(done))
        return
    console.print(
        f"backup {done.name}, {done.size_bytes >> 20} MiB, verified; restores to "
        f"{_whole_second(done.usable_from):%Y-%m-%dT%H:%M:%SZ} and later"
    )
    console.print(f"The key file {load_settings().secret_key_path} is not in it: keep a copy elsewhere.")


@backup_app.command("list")
def list_backups(as_json: AsJson = False) -> None:
    """The backups there are and the times they reach."""
    found = going_back.window(load_settings())
    if as_json:
        shown = [_shown(backup) for backup in found.backups]
        reach = {"earliest": _exact(found.earliest), "latest": _exact(found.latest)}
        print_json({**reach, "backups": shown})
        return
    rows = [
        (b.name, b.usable_from, b.size_bytes >> 20, b.server_version, b.facts.get("revision"), b.timeline)
        for b in found.backups
    ]
    print_table("Backups", ["backup", "from", "MiB", "PostgreSQL", "schema", "timeline"], rows)
    if found.earliest is not None:
        console.print(f"restores to any time from {found.earliest} to {found.latest}, and to `latest`")


@backup_app.command("verify")
def verify(name: str, as_json: AsJson = False) -> None:
    """Read a backup again and compare every byte with its checksums."""
    store = taking.store_of(load_settings())
    chosen = next((backup for backup in store.backups() if backup.name == name), None)
    if chosen is None:
        raise NotFound(f"no backup {name!r}", field="name", remedy="list them: turnup backup list")
    taking.verify_backup(load_settings(), chosen)
    if as_json:
        print_json({"backup": name, "verified": True})
    else:
        console.print(f"{name} is whole")


def _exact(instant: datetime | None) -> str | None:
    """To the microsecond: rounded down, a time that is given back would lie before the backup."""
    return None if instant is None else instant.isoformat()


def _whole_second(instant: datetime) -> datetime:
    """The next one, for the same reason."""
    return instant.replace(microsecond=0) + timedelta(seconds=1)


def _shown(backup: Backup) -> dict[str, Any]:
    return {
        "name": backup.name,
        "usableFrom": _exact(backup.usable_from),
        "sizeBytes": backup.size_bytes,
        "serverVersion": backup.server_version,
        "timeline": backup.timeline,
        "revision": backup.facts.get("revision"),
        "keys": backup.facts.get("keys", []),
    }


# --- restore ---------------------------------------------------------------------------------------------


@restore_app.callback()
def restore(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="ISO 8601 with an offset, 2026-11-24T10:30:00+01:00; or latest."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the books back to a time. The installation must be stopped; the present data is put aside."""
    if context.invoked_subcommand is not None:
        return
    target = _instant(to)
    with _progress(as_json=as_json) as progress:
        outcome = going_back.restore(load_settings(), target, actor(), progress=progress)
    if as_json:
        first = _shown(outcome.backup) if outcome.backup else None
        print_json({"restored": outcome.restored, "backup": first, "problem": outcome.problem})
        return
    _tell(outcome.restored)
    if outcome.problem:
        errors.print(f"[red]no backup of the new history[/]: {outcome.problem}; run `turnup backup`")
    console.print("Now: turnup up, then turnup restore compare, then turnup restore release")


def _instant(text: str | None) -> datetime | None:
    if text is None:
        raise InvalidInput(
            "a time is missing", field="to", remedy="--to 2026-11-24T10:30:00+01:00, or --to latest"
        )
    if text == _LATEST:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no time", field="to", remedy="write 2026-11-24T10:30:00+01:00, or latest"
        ) from None
    if instant.tzinfo is None:
        raise InvalidInput(
            f"{text} has no offset, so it could be several instants", field="to", remedy="add Z or +01:00"
        )
    return instant


@restore_app.command("status")
def status(as_json: AsJson = False) -> None:
    """Whether restored books wait for a release, every going back before, and the data put aside."""
    aside = going_back.replaced_data(load_settings())
    with house() as assembled, assembled.database.engine.connect() as connection:
        history = restored.history(connection)
    if as_json:
        print_json({"waiting": _waits(history), "history": history, "replaced": aside})
        return
    rows = [
        (
            r.target_at or _LATEST,
            r.restored_at,
            r.restored_by,
            r.replaced,
            r.released_at or "WAITS",
            r.released_by,
        )
        for r in history
    ]
    print_table("Restores", ["to", "at", "by", "put aside as", "released", "by"], rows)
    print_table("Put aside", ["name", "MiB"], [(each.name, each.size_bytes >> 20) for each in aside])


def _waits(history: Sequence[Restored]) -> bool:
    return any(each.released_at is None for each in history)


@restore_app.command("compare")
def compare_command(as_json: AsJson = False) -> None:
    """What network and replaced books have that the books do not, and the other way round. Reads only."""
    with house() as assembled:
        waiting = assembled.runtime.gate.closed_by()
        if waiting is None:
            raise NotFound("no restore waits", field="restore", remedy="see: turnup restore status")
        found = compare(assembled, waiting)
    if as_json:
        print_json(found)
        return
    _tell(waiting)
    _tell_comparison(found)


def _tell_comparison(found: Comparison) -> None:
    rows = [
        (
            f.number or f.service_id,
            f.element,
            f.kind.value,
            f.detail,
            f.books_generation,
            f.network_generation,
        )
        for f in found.found
    ]
    columns = ["service", "element", "what", "detail", "books' generation", "network's"]
    print_table(f"Different ({len(found.undecided)} of {found.services} services)", columns, rows)
    if found.unreachable:
        errors.print(f"[red]did not answer[/]: {', '.join(found.unreachable)}")
    for changed in found.configurations:
        console.print(f"{changed.element}: what it runs is not revision {changed.books_revision}")
    if found.mails_since is not None:
        console.print(f"{found.mails_since} mails were written after the restore point")


def _tell(noted: Restored) -> None:
    console.print(
        f"restored to {noted.target_at or 'the newest state'} (last transaction {noted.reached_at}) from "
        f"{noted.backup}; the former data is kept as {noted.replaced}"
    )
    if not noted.lost.get("known"):
        console.print("[yellow]the replaced books could not be read[/]: what they held is not known")
        return
    counted = noted.lost.get("events", {})
    print_table("Lost from the books", ["event", "how many"], sorted(counted.items()))
    for gap in noted.lost.get("documentNumbers", []):
        console.print(f"document numbers {gap['series']} {gap['from']}-{gap['to']} left the house: left out")
    for gap in noted.lost.get("fileNumbers", []):
        console.print(
            f"files {gap['from']}-{gap['to']} of connector {gap['connector']} are given away: left out"
        )


Chosen = Annotated[list[str] | None, typer.Option(help="Service (number or id); may be given often.")]


@restore_app.command("release")
def release_command(
    reason: Annotated[str, typer.Option(help="Why; kept with your name.")],
    books: Chosen = None,
    network: Chosen = None,
    rest: Annotated[
        Side | None, typer.Option(help="Who is right about every service not named: books or network.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open restored books. Where they differ from the network, `books` wins (applied by the workers) or
    `network` (left as it is and only observed)."""
    with house() as assembled:
        decisions: dict[ServiceId, Side] = {}
        for side, names in ((Side.BOOKS, books), (Side.NETWORK, network)):
            for name in names or ():
                known = assembled.provisioning.service_by_number(name)
                decisions[known.id if known else _service_id(name)] = side
        done = release(assembled, actor(), reason, decisions, rest)
    if as_json:
        print_json(done)
    else:
        console.print(
            f"released: {done.applied} services are brought to the books, {done.observed} only observed, "
            f"{done.removed} fragments removed"
        )
    for failure in done.failed:
        errors.print(f"[red]not removed[/]: {failure}")
    if done.failed:
        raise typer.Exit(1)


def _service_id(name: str) -> ServiceId:
    try:
        return ServiceId(UUID(name))
    except ValueError as error:
        raise NotFound(f"no service {name!r}", field="service", remedy="copy it from `compare`") from error


@restore_app.command("declare")
def declare(
    to: Annotated[str, typer.Option(metavar="TIME", help="The time it was restored to, with an offset.")],
    as_json: AsJson = False,
) -> None:
    """For a PostgreSQL of your own, restored by its administrator: run this before anything is started."""
    target = _instant(to)
    if target is None:
        raise InvalidInput("a time is needed", field="to", remedy="the time your administrator restored to")
    settings = load_settings()
    noted = going_back.declare(settings, attach_engine(settings), target, actor())
    if as_json:
        print_json(noted)
    else:
        _tell(noted)


@restore_app.command("put-back")
def put_back(name: str, as_json: AsJson = False) -> None:
    """Have data that was put aside take its place again; the present data is put aside."""
    aside = upgrade.put_back(load_settings(), name, actor())
    tell(
        f"{name} is back; what was there is kept as {aside}",
        {"name": name, "put_aside": str(aside)},
        as_json=as_json,
    )


@restore_app.command("discard")
def discard(name: str, as_json: AsJson = False) -> None:
    """Delete data that was put aside, for good."""
    going_back.discard(load_settings(), name)
    tell(f"{name} is gone", {"name": name, "discarded": True}, as_json=as_json)


# --- upgrade ---------------------------------------------------------------------------------------------


def upgrade_command(
    old_binaries: Annotated[
        Path | None,
        typer.Option(help="Folder with the PostgreSQL that wrote the data, where an older one did."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring an older installation to this Turnup: PostgreSQL's major version, then the schema; a backup comes
    first. Killed, run it again."""
    with _progress(as_json=as_json) as progress:
        done = upgrade.upgrade_installation(load_settings(), old_binaries=old_binaries, progress=progress)
    if as_json:
        print_json(done)
        return
    if done.nothing:
        console.print("nothing to do")
    if done.kept is not None:
        console.print(
            f"PostgreSQL {done.postgres_from} is now {done.postgres_to}; the old data is kept as {done.kept}"
        )
    if done.revision_from != done.revision_to:
        console.print(f"schema {done.revision_from} is now {done.revision_to}; backup {done.backup}")


# --- progress --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Bar:
    bars: Bars
    task: TaskID

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bars.update(self.task, description=what, completed=done, total=total or None)


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Progress]:
    """A bar on the terminal; nothing for programs."""
    if as_json:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, console=errors, transient=True) as bars:
        yield _Bar(bars, bars.add_task("beginning", total=None))

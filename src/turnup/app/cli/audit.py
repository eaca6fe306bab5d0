"""`turnup audit`: who changed what, and whether the record of it is whole."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from turnup.app.audit import entry_body, verification_body
from turnup.app.cli.output import AsJson, console, plain, print_json, print_table
from turnup.app.cli.session import house
from turnup.kernel.audit_chain import Anchor, parse_anchors
from turnup.runtime.audit import Wanted, entries
from turnup.runtime.audit_chain import seal_all, verify
from turnup.runtime.secrets import SecretBox

app = typer.Typer(help="Who changed what, and whether that record is whole.", no_args_is_help=True)

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="audit")


@app.command("list")
def show(
    who: Annotated[str | None, typer.Option(help="Actor, as in staff:anna; `staff:*` for all staff.")] = None,
    what: Annotated[str | None, typer.Option(help="Action, as in orders.cancel; `orders.*`.")] = None,
    subject: Annotated[str | None, typer.Option(help="Id or name of what was changed.")] = None,
    component: Annotated[str | None, typer.Option(help="Component whose books changed.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=_TIMES, help="From then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_TIMES, help="Before then (UTC).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many, the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Changes with actor, subject, before and after; the newest first. Ids only: people are in crm."""
    wanted = Wanted(
        actor=who,
        action=what,
        subject=subject,
        component=component,
        since=_utc(since),
        until=_utc(until),
    )
    with house() as assembled, assembled.database.engine.connect() as connection:
        found = entries(connection, wanted, limit)
    if as_json:
        print_json([entry_body(entry) for entry in found])
        return
    rows = [
        (
            e.id,
            f"{e.at:%Y-%m-%d %H:%M:%S}",
            e.actor,
            e.action,
            e.subject,
            _short(e.before),
            _short(e.after),
        )
        for e in found
    ]
    print_table("Audit", ["id", "at", "who", "what", "subject", "before", "after"], rows)


@app.command("verify")
def check(
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="A head kept elsewhere, NUMBER:HASH, or a file of such lines; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry and link; print the head, to be kept where the database's owner cannot change it.

    Without an anchor, what was cut off at the end shows nowhere. Exit code 1 where anything is broken.
    """
    anchors = [each for given in anchor or () for each in _anchors(given)]
    with house() as assembled:
        engine, box = assembled.database.engine, SecretBox(assembled.settings.secret_key_path)
        if assembled.runtime.gate.closed_by() is None:
            seal_all(engine, box, assembled.runtime.clock.now())
        found = verify(engine, box, anchors)
    if as_json:
        print_json(verification_body(found))
    else:
        rows = [(b.breach.value, b.link, b.entry, b.detail) for b in found.broken]
        if rows:
            print_table("Broken", ["what", "link", "entry", "detail"], rows)
        for old in found.unchecked_anchors:
            console.print(f"older than what retention has left, not checked: {old}")
        state = "whole" if found.ok else "[red]BROKEN[/]"
        console.print(
            f"{state}: {found.entries} entries in links from {found.since_link} on ({found.links} of them)"
        )
        typer.echo(f"head {found.head}")
    if not found.ok:
        raise typer.Exit(1)


def _anchors(given: str) -> list[Anchor]:
    path = Path(given)
    if path.is_file():
        return parse_anchors(path.read_text(encoding="ascii", errors="replace"))
    return parse_anchors(given)


def _utc(instant: datetime | None) -> datetime | None:
    return instant if instant is None or instant.tzinfo else instant.replace(tzinfo=UTC)


def _short(value: object) -> str:
    text = "" if value is None else str(plain(value))
    return text if len(text) <= 60 else f"{text[:59]}…"

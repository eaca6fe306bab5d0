"""`turnup privacy`: what is held about a person, her erasure, and what goes by age."""

import json
import os
import time
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from turnup.app.cli.output import AsJson, console, plain, print_json, print_table, tell
from turnup.app.cli.session import As, acting, guarded, house
from turnup.app.house import House
from turnup.app.privacy.erasing import ERASE, Survey
from turnup.app.privacy.routes import erasure_body, purge_body, survey_body
from turnup.kernel.errors import InvalidInput
from turnup.runtime.erasures import Erasure, ErasureState

app = typer.Typer(
    help="What is held about a person, her erasure, and what goes by age.", no_args_is_help=True
)

_LOOK_S = 0.3
Who = Annotated[
    str, typer.Argument(metavar="PERSON", help="Customer's number, mail address, or id of customer or party.")
]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="privacy")


@app.command("export")
def export(
    person: Who,
    out: Annotated[Path, typer.Option(help="File to write, for your eyes only (mode 600).")],
    as_name: As = None,
    as_json: AsJson = False,
) -> None:
    """Everything held about a person, as JSON (GDPR art. 15 and 20). That it was taken is audited."""
    if out.exists():
        raise InvalidInput(f"{out} exists", field="out", remedy="name a file that does not")
    with house() as assembled:
        found = assembled.rights.export(person, acting(assembled, as_name).actor)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_text(found))
    rows = sum(len(rows) for tables in found["components"].values() for rows in tables.values())
    components = len(found["components"])
    facts = {"rows": rows, "components": components, "file": str(out)}
    tell(f"{rows} rows of {components} components in {out}", facts, as_json=as_json)


@app.command("erase")
def erase(
    person: Who,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for its end.")] = 60.0,
    as_name: As = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person for good (GDPR art. 17): delete or make nameless what no law keeps. May need four eyes.

    She must have no service, no open order and no open balance; what is in the way is said. Workers do it;
    exit code 1 where it is not done within the time to wait.
    """
    with house() as assembled:
        survey = assembled.rights.survey(person)
        if dry_run:
            _tell(survey, as_json=as_json)
            return
        if not yes and not as_json:
            typer.confirm(f"Erase {survey.party} for good?", abort=True)
        arguments = assembled.rights.arguments(person)
        asked = guarded(assembled, ERASE, arguments, as_name, as_json=as_json)
        if asked is None:
            return
        done = _waited(assembled, UUID(asked["erasure"]), wait_s)
    if as_json:
        print_json(erasure_body(done))
    else:
        _show(done)
    if done.state is not ErasureState.DONE:
        raise typer.Exit(1)


@app.command("erasures")
def erasures(as_json: AsJson = False) -> None:
    """The erasure register, and what restored books have still to catch up with. Ids only."""
    with house() as assembled:
        found, missing = assembled.rights.erasures(), assembled.rights.not_applied()
    if as_json:
        print_json({"erasures": [erasure_body(each) for each in found], "notApplied": plain(missing)})
        return
    rows = [
        (
            e.party,
            e.state.value,
            e.asked_by,
            e.asked_at,
            e.done_at,
            e.documents_until,
            "; ".join(e.in_the_way),
        )
        for e in found
    ]
    columns = ["party", "state", "asked by", "asked", "done", "documents until", "in the way"]
    print_table("Erasures", columns, rows)
    for entry in missing:
        console.print(f"[red]not applied in these books yet[/]: {entry.party}")


@app.command("purge")
def purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is due; change nothing.")] = False,
    status: Annotated[bool, typer.Option("--status", help="The last purges; start none.")] = False,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for its end.")] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Take away what is older than its retention (setting retention_days). Runs by itself once a day."""
    with house() as assembled:
        if dry_run:
            due = assembled.purges.due()
            if as_json:
                print_json(due)
                return
            rows = [(d.what, d.days or "for ever", d.before and f"{d.before:%Y-%m-%d}", d.rows) for d in due]
            print_table("Due", ["what", "days", "over before", "rows"], rows)
            return
        if status:
            _purges(assembled, as_json=as_json)
            return
        purge_id = assembled.purges.begin(acting(assembled, None).actor)
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            view = next(v for v in assembled.purges.last() if v.id == purge_id)
            if view.finished_at is not None:
                break
            time.sleep(_LOOK_S)
        _purges(assembled, as_json=as_json, only=purge_id)
        if view.finished_at is None:
            raise typer.Exit(1)


def _purges(assembled: House, *, as_json: bool, only: str | None = None) -> None:
    views = [view for view in assembled.purges.last() if only in (None, view.id)]
    if as_json:
        print_json([purge_body(view) for view in views])
        return
    rows = [
        (v.started_at, v.finished_at or "under way", what, count)
        for v in views
        for what, count in sorted(v.rows.items()) or [("nothing was due", 0)]
    ]
    print_table("Purges", ["started", "finished", "what", "rows"], rows)


def _waited(assembled: House, erasure_id: UUID, wait_s: float) -> Erasure:
    until = time.monotonic() + wait_s
    while True:
        found = assembled.rights.erasure(erasure_id)
        assert found is not None
        if found.state is not ErasureState.ASKED or time.monotonic() >= until:
            return found
        time.sleep(_LOOK_S)


def _tell(survey: Survey, *, as_json: bool) -> None:
    if as_json:
        print_json(survey_body(survey))
        return
    for why in survey.in_the_way:
        console.print(f"[red]in the way[/]: {why}")
    rows = [(component, table, n) for component, tables in survey.rows.items() for table, n in tables.items()]
    print_table("Held", ["component", "table", "rows"], rows)
    console.print(f"{survey.files} mails in files")
    _kept([(kept.where, kept.why, kept.until) for kept in survey.kept])


def _show(erasure: Erasure) -> None:
    if erasure.state is not ErasureState.DONE:
        reasons = "; ".join(erasure.in_the_way) or "is a worker alive? it goes on by itself"
        console.print(f"{erasure.state.value}: {reasons}")
        return
    rows = [(name, table, n) for name, tables in erasure.changed.items() for table, n in tables.items()]
    print_table("Erased", ["component", "table", "rows"], rows)
    _kept([(kept["where"], kept["why"], kept["until"]) for kept in erasure.kept])


def _kept(rows: list[tuple[object, object, object]]) -> None:
    print_table("Stays", ["where", "why", "until"], rows)


def _text(value: object) -> str:
    return json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n"

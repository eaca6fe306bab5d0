"""`turnup connector`: files exchanged with other systems: documents, runs, quarantine, sending again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from turnup.app.cli.output import AsJson, console, print_json, print_table, tell
from turnup.app.cli.session import actor, ask_secret, house
from turnup.contracts.mediation import MadeFile, TakenFile
from turnup.integration.mediation.workflows.exchange import actor_of_run
from turnup.kernel.errors import InvalidInput
from turnup.runtime.yaml_text import load_yaml

app = typer.Typer(help="CSV files exchanged with other systems over SFTP.", no_args_is_help=True)
quarantine_app = typer.Typer(help="Rows of incoming files that wait for a person.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The connector's name.")]
RowId = Annotated[int, typer.Argument(help="Number from `turnup connector quarantine list`.")]


def register(parent: typer.Typer) -> None:
    app.add_typer(quarantine_app, name="quarantine")
    parent.add_typer(app, name="connector")


@app.command("import")
def import_(file: Path, as_json: AsJson = False) -> None:
    """Put a connector's document (YAML) in force; changed content is a new version."""
    try:
        document = load_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}", field="file") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{file.name} is not YAML: {error}", field="file") from error
    with house() as assembled, assembled.runtime.unit("mediation", actor()) as unit:
        name, version, changed = assembled.connectors.publish(unit, document)
    if as_json:
        print_json({"name": name, "version": version, "changed": changed})
    else:
        console.print(f"{name}: version {version}{'' if changed else ', as it was'}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """The connectors, when they run next and what went wrong last."""
    with house() as assembled:
        views = assembled.connectors.views()
    if as_json:
        print_json(views)
        return
    rows = [
        (v.name, v.version, v.direction, v.kind, v.mode, v.next_at, v.last_run_at, v.last_error)
        for v in views
    ]
    columns = ["connector", "version", "direction", "kind", "mode", "next", "last", "last error"]
    print_table("Connectors", columns, rows)


@app.command("show")
def show(name: Name, as_json: AsJson = False) -> None:
    """One connector: its document in force, and its latest files."""
    with house() as assembled:
        view = assembled.connectors.view(name)
        taken, made = assembled.files.taken(name, 10), assembled.files.made(name, 10)
    if as_json:
        print_json({"connector": view, "taken": taken, "made": made})
        return
    typer.echo(yaml.safe_dump(dict(view.document), sort_keys=False, allow_unicode=True))
    _show_files(taken, made)


@app.command("credentials")
def credentials(
    name: Name,
    private_key: Annotated[
        Path | None, typer.Option(help="File of the SSH key to log in with (OpenSSH, no passphrase).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How to log in at its file server: a key, or a password that is asked for. Stored sealed."""
    key = private_key.read_text(encoding="utf-8") if private_key else None
    password = "" if key else ask_secret(f"Password for {name}", twice=True)
    with house() as assembled, assembled.runtime.unit("mediation", actor()) as unit:
        assembled.connectors.set_credentials(unit, name, password=password, private_key=key)
    tell("stored", {"connector": name, "stored": True}, as_json=as_json)


@app.command("run")
def run(name: Name, as_json: AsJson = False) -> None:
    """Exchange what there is to exchange now. A file that must first stand still is taken by a later run."""
    with house() as assembled:
        report = assembled.exchange.run(name, actor_of_run(actor()))
    if as_json:
        print_json(report)
    else:
        _show_files(report.files, report.made)
        for what, names in (("still being uploaded", report.waiting), ("refused", report.refused_names)):
            if names:
                console.print(f"{what}: {', '.join(names)}", markup=False)
    if any(file.counts.quarantined or file.reason for file in report.files):
        raise typer.Exit(1)


@app.command("test")
def test(name: Name, file: Path, as_json: AsJson = False) -> None:
    """What a local file would do; changes nothing and connects nowhere.

    Of a connector that goes out: how the next file would differ from this one, made by the former system.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}", field="file") from error
    with house() as assembled:
        report = assembled.exchange.test(name, file.name, content)
    if as_json:
        print_json(report)
    else:
        columns = ["file", "read", "would apply", "unchanged", "would be quarantined"]
        row = (report.file, report.read, report.applied, report.unchanged, len(report.quarantined))
        print_table(f"Test of {name} (nothing changed)", columns, [row])
        if report.differences:
            print_table("Differences", ["row", "what"], report.differences)
        bad = [(q.row, q.field, q.reason, q.remedy) for q in report.quarantined]
        if bad:
            print_table("Quarantine", ["row", "field", "reason", "remedy"], bad)
    if report.quarantined:
        raise typer.Exit(1)


@app.command("files")
def files(
    name: Name,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Its latest files, in and out, with their counts."""
    with house() as assembled:
        assembled.connectors.connector(name)
        taken, made = assembled.files.taken(name, limit), assembled.files.made(name, limit)
    if as_json:
        print_json({"taken": taken, "made": made})
    else:
        _show_files(taken, made)


@app.command("resend")
def resend(name: Name, number: int, as_json: AsJson = False) -> None:
    """Send an outgoing file once more, byte for byte as it was made."""
    with house() as assembled:
        made = assembled.exchange.send_again(name, number, actor())
    if as_json:
        print_json(made)
    else:
        console.print(f"{made.name} sent again, sha256 {made.sha256}")


@quarantine_app.command("list")
def quarantine_list(
    name: Annotated[str | None, typer.Argument(help="Of this connector only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rows that wait, with the reason and what to do."""
    with house() as assembled:
        rows = assembled.files.quarantined(name)
    if as_json:
        print_json(rows)
        return
    columns = ["id", "connector", "file", "row", "key", "field", "reason", "remedy"]
    print_table(
        "Quarantine",
        columns,
        [(r.id, r.connector, r.file, r.row, r.key, r.field, r.reason, r.remedy) for r in rows],
    )


@quarantine_app.command("replay")
def quarantine_replay(
    rows: Annotated[list[int] | None, typer.Argument(help="Numbers from the list; or --all.")] = None,
    corrected: Annotated[
        list[str] | None, typer.Option("--set", help="COLUMN=VALUE as it should have come; one row only.")
    ] = None,
    everything: Annotated[
        str | None, typer.Option("--all", metavar="NAME", help="All of a connector.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply rows again, by the document now in force. Those that fail again stay."""
    edits = dict(_pair(each) for each in corrected or [])
    with house() as assembled:
        chosen = list(rows or [])
        if everything is not None:
            assembled.connectors.connector(everything)
            chosen = [row.id for row in assembled.files.quarantined(everything)]
        elif not chosen:
            raise InvalidInput("nothing chosen", field="rows", remedy="name their numbers, or --all NAME")
        if edits and len(chosen) != 1:
            raise InvalidInput("a correction is one row's", field="set", remedy="replay one at a time")
        outcomes = {row: assembled.exchange.replay(row, actor(), edits) for row in chosen}
    if as_json:
        print_json(outcomes)
    else:
        columns = ["row", "now", "field", "reason", "remedy"]
        shown = [(n, o.state.value, o.field, o.reason, o.remedy) for n, o in outcomes.items()]
        print_table("Replayed", columns, shown)
    if any(outcome.reason for outcome in outcomes.values()):
        raise typer.Exit(1)


@quarantine_app.command("discard")
def quarantine_discard(
    row: RowId,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with your name.")],
    as_json: AsJson = False,
) -> None:
    """This row is never applied; what it held is forgotten."""
    with house() as assembled, assembled.runtime.unit("mediation", actor()) as unit:
        assembled.files.discard(unit, row, reason)
    tell("discarded", {"row": row, "discarded": True}, as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidInput(f"{text!r} sets nothing", field="set", remedy="write COLUMN=VALUE")
    return name, value


def _show_files(taken: Sequence[TakenFile], made: Sequence[MadeFile]) -> None:
    if taken or not made:
        columns = ["file in", "state", "read", "applied", "unchanged", "quarantined", "discarded", "reason"]
        rows = [
            (
                file.name,
                file.state if file.mode == "live" else f"{file.state} (shadow)",
                file.counts.read,
                file.counts.applied,
                file.counts.unchanged,
                file.counts.quarantined,
                file.counts.discarded,
                file.reason,
            )
            for file in taken
        ]
        print_table("Taken in", columns, rows)
    if made:
        columns = ["number", "file out", "rows", "control sum", "made", "sent"]
        rows_out = [
            (file.number, file.name, file.rows, file.control_sum, file.made_at, file.sent_at or file.mode)
            for file in made
        ]
        print_table("Sent out", columns, rows_out)

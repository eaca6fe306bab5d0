"""`turnup import`: catalog, policies, network and running customers from files, with a dry run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from turnup.app.cli.output import AsJson, console, print_json, print_table
from turnup.app.cli.session import house
from turnup.contracts.mediation import ImportReport, TakeoverLine
from turnup.integration.mediation.rules.writing import takeover_csv
from turnup.integration.mediation.workflows.takeover import Importer
from turnup.kernel.errors import InvalidInput

KINDS = ("catalog", "policies", "network", "customers")
"""In the order in which one needs another."""
REPORT = "report"


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    what: Annotated[
        str, typer.Argument(help="catalog | policies | network | customers, a folder of them, or report.")
    ],
    file: Annotated[Path | None, typer.Argument(help="The file; not with a folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, change nothing.")] = False,
    system: Annotated[str, typer.Option(help="Where customers come from; names their ids.")] = "import",
    report: Annotated[
        bool, typer.Option("--report", help="Afterwards, say what would differ, by service.")
    ] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the report into this file, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take over files: what is sold, how it is credited and taxed, the network, running customers.

    A folder is read in order: catalog.yaml, policies.yaml, network.yaml, customers.csv. Running services are
    taken over without touching them. What cannot be applied is listed with row, field and remedy; mend the
    file and run it again: applied rows are left alone.
    `turnup import report` compares what was taken over before: sold, on the elements, billed.
    """
    with house() as assembled:
        if what == REPORT:
            _report(assembled.comparison.report(system), csv_file, as_json=as_json)
            return
        reports = [
            take(assembled.importer, kind, path, system=system, dry_run=dry_run, quiet=as_json)
            for kind, path in _files(what, file)
        ]
        lines = assembled.comparison.report(system) if report and not dry_run else None
    if as_json:
        print_json(reports if lines is None else {"imports": reports, "report": lines})
    else:
        show_reports(reports)
    if lines is not None:
        _report(lines, csv_file, as_json=False, quiet=as_json)
    if any(report.quarantined for report in reports):
        raise typer.Exit(1)


def _report(
    lines: Sequence[TakeoverLine], csv_file: Path | None, *, as_json: bool, quiet: bool = False
) -> None:
    if csv_file is not None:
        csv_file.write_bytes(takeover_csv(lines))
    if as_json:
        print_json(lines)
    elif not quiet:
        differing = [line for line in lines if line.differs]
        rows = [(line.external_id, line.service, line.management, line.differs) for line in differing]
        title = f"{len(lines)} services compared, {len(differing)} differ"
        print_table(title, ["external id", "service", "management", "what differs"], rows)


def _files(what: str, file: Path | None) -> list[tuple[str, Path]]:
    if what in KINDS:
        if file is None:
            raise InvalidInput(f"which {what} file?", field="file", remedy=f"turnup import {what} FILE")
        return [(what, file)]
    folder = Path(what)
    if not folder.is_dir():
        raise InvalidInput(
            f"{what!r} is neither a folder nor a kind of file",
            field="what",
            remedy=f"use one of: {', '.join(KINDS)}, or a folder that holds them",
        )
    found = [(kind, folder / f"{kind}.{'csv' if kind == 'customers' else 'yaml'}") for kind in KINDS]
    return [(kind, path) for kind, path in found if path.exists()]


def take(
    importer: Importer, kind: str, path: Path, *, system: str, dry_run: bool, quiet: bool
) -> ImportReport:
    """One file, with a progress bar where it is long."""
    if kind == "catalog":
        return importer.load_catalog(path, dry_run=dry_run)
    if kind == "policies":
        return importer.load_policies(path, dry_run=dry_run)
    if kind == "network":
        return importer.load_network(path, dry_run=dry_run)
    with Progress(console=console, transient=True, disable=quiet) as progress:
        bar = progress.add_task(path.name, total=None)
        return importer.take_over_customers(
            path,
            system=system,
            dry_run=dry_run,
            progress=lambda done, of: progress.update(bar, completed=done, total=of),
        )


def show_reports(reports: list[ImportReport]) -> None:
    print_table(
        "Import (dry run, nothing changed)" if any(r.dry_run for r in reports) else "Import",
        ["file", "read", "applied", "unchanged", "quarantined"],
        [(r.source, r.read, r.applied, r.unchanged, len(r.quarantined)) for r in reports],
    )
    rows = [(q.source, q.row, q.field, q.reason, q.remedy) for r in reports for q in r.quarantined]
    if rows:
        print_table("Quarantine", ["file", "row", "field", "reason", "remedy"], rows)

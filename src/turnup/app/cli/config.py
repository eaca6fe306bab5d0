"""`turnup config`: network elements, their credentials, backups, differences and rollback."""

from pathlib import Path
from typing import Annotated

import typer

from turnup.app.cli.output import AsJson, plain, print_json, print_table, tell
from turnup.app.cli.session import actor, house
from turnup.app.engine import attach_engine
from turnup.app.house import House
from turnup.contracts.configuration import Credentials
from turnup.contracts.inventory import ElementView
from turnup.kernel.errors import NotFound
from turnup.runtime.settings import load_settings

app = typer.Typer(help="Network elements: credentials, backups, differences, rollback.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="config")


@app.command("elements")
def elements(as_json: AsJson = False) -> None:
    """The network elements and whether they answer."""
    with house() as assembled:
        views = assembled.inventory.elements()
        health = {h.element_id: h for h in assembled.monitoring.health()}
    if as_json:
        print_json(views)
        return
    rows = []
    for view in views:
        seen = health.get(view.id)
        answer = "?" if seen is None or seen.reachable is None else ("yes" if seen.reachable else "NO")
        rows.append((view.code, view.role, view.driver, answer))
    print_table("Elements", ["element", "role", "driver", "answers"], rows)


@app.command("aaa-url")
def aaa_url(as_json: AsJson = False) -> None:
    """The URL of the AAA servers' own database, for the RADIUS servers (and the lab) that read it."""
    url = attach_engine(load_settings()).aaa_url
    tell(url, {"url": url}, as_json=as_json)


@app.command("credentials")
def credentials(
    element: str,
    username: Annotated[
        str | None, typer.Option(help="User name on the element; asked for unless RADIUS is all it speaks.")
    ] = None,
    password: Annotated[
        str | None, typer.Option(help="Asked for where left out and no private key is given.")
    ] = None,
    host_key: Annotated[str | None, typer.Option(help="SSH host key, as in known_hosts.")] = None,
    private_key: Annotated[
        Path | None, typer.Option(help="File of the SSH key to log in with (OpenSSH, no passphrase).")
    ] = None,
    data_key: Annotated[
        Path | None, typer.Option(help="File of the key that encrypts subscribers' secrets on an AAA server.")
    ] = None,
    coa_secret: Annotated[
        Path | None, typer.Option(help="File of a NAS's RADIUS secret for CoA and Disconnect.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set an element's credentials; they are stored encrypted and never shown."""
    if username is None and coa_secret is None:
        username = typer.prompt("Username")
    if username and password is None and private_key is None:
        password = typer.prompt("Password", hide_input=True)
    given = Credentials(
        username=username or "",
        password=password or "",
        host_key=host_key,
        private_key=private_key.read_text(encoding="utf-8") if private_key else None,
        data_key=data_key.read_text(encoding="utf-8").strip() if data_key else None,
        coa_secret=coa_secret.read_text(encoding="utf-8").strip() if coa_secret else None,
    )
    with house() as assembled:
        found = _element(assembled, element)
        with assembled.runtime.unit("configuration", actor()) as unit:
            assembled.configuration.set_credentials(unit, found.id, given)
    tell(f"credentials of {element} stored", {"element": element, "stored": True}, as_json=as_json)


@app.command("backup")
def backup(element: str, as_json: AsJson = False) -> None:
    """Fetch the running configuration; a new revision only if it differs."""
    with house() as assembled:
        view = assembled.path.backup(_element(assembled, element).id, f"asked for by {actor()}")
    tell(
        f"{element} revision {view.revision}, taken {view.taken_at:%Y-%m-%d %H:%M}",
        plain(view),
        as_json=as_json,
    )


@app.command("backups")
def backups(element: str, as_json: AsJson = False) -> None:
    """The configuration history of an element."""
    with house() as assembled:
        views = assembled.configuration.backups(_element(assembled, element).id)
    if as_json:
        print_json(views)
        return
    rows = [(v.revision, v.taken_at, v.cause, v.sha256[:12]) for v in views]
    print_table(f"Backups of {element}", ["revision", "taken", "cause", "sha256"], rows)


@app.command("diff")
def diff(element: str, old: int, new: int, as_json: AsJson = False) -> None:
    """What changed between two backups."""
    with house() as assembled:
        found = assembled.configuration.backup_diff(_element(assembled, element).id, old, new)
    if as_json:
        print_json({"element": element, "old": old, "new": new, "diff": found})
    else:
        typer.echo(found)


@app.command("rollback")
def rollback(element: str, revision: int, as_json: AsJson = False) -> None:
    """Put a backup back on the element and read it back."""
    with house() as assembled:
        outcome = assembled.path.rollback(_element(assembled, element).id, revision)
    said = "restored and verified" if outcome.verified else f"[red]not verified[/]: {outcome.error}"
    tell(said, plain(outcome), as_json=as_json)
    if not outcome.verified:
        raise typer.Exit(1)


@app.command("drift")
def drift(element: str, as_json: AsJson = False) -> None:
    """What the element holds against what it should hold, read from the element now."""
    with house() as assembled:
        found = assembled.configuration.differences(_element(assembled, element).id)
    if as_json:
        print_json(found)
        return
    rows = [(difference.service_id, difference.text) for difference in found]
    print_table(f"Differences on {element}", ["service", "what"], rows)


def _element(assembled: House, code: str) -> ElementView:
    found = assembled.inventory.element_by_code(code)
    if found is None:
        raise NotFound(f"no element {code!r}", field="element", remedy="list them: turnup config elements")
    return found

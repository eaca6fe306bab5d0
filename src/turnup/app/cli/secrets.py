"""`turnup secrets`: the key that seals passwords, its rotation, and sealing a password for the settings."""

from typing import Annotated

import typer

from turnup.app import secrets as keys
from turnup.app.access import ROTATE
from turnup.app.cli.output import AsJson, console, print_json, print_table, tell
from turnup.app.cli.session import As, guarded, house
from turnup.app.mail import PASSWORD
from turnup.kernel.errors import InvalidInput
from turnup.runtime.access.edge import CLIENT_SECRET
from turnup.runtime.secrets import SecretBox, seal_text
from turnup.runtime.settings import load_settings

app = typer.Typer(help="The key that seals stored passwords, and its rotation.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="secrets")


@app.command("seal")
def seal(
    setting: Annotated[
        str, typer.Argument(help="The setting it is for: mail_password or oidc_client_secret.")
    ],
    secret: Annotated[
        str,
        typer.Option(prompt=True, hide_input=True, help="Asked for where left out."),
    ],
    as_json: AsJson = False,
) -> None:
    """Seal a password for the settings file: prints what to write there. It opens in this setting only."""
    sealable = (PASSWORD, CLIENT_SECRET)
    if setting not in sealable:
        remedy = f"write {' or '.join(sealable)}"
        raise InvalidInput(f"{setting!r} is no setting that can be sealed", field="setting", remedy=remedy)
    sealed = seal_text(SecretBox(load_settings().secret_key_path), secret, setting)
    tell(f"{setting}: {sealed}", {setting: sealed}, as_json=as_json)


@app.command("rotate")
def rotate(
    new_key: Annotated[
        bool,
        typer.Option("--new-key/--no-new-key", help="Without: finish a rotation that was broken off."),
    ] = True,
    as_name: As = None,
    as_json: AsJson = False,
) -> None:
    """Add a key to the key file and wrap every stored secret by it; nothing has to be restarted.

    The old key stays in the file: backups of the database need it.
    `turnup secrets keys` says how many secrets each still opens.
    """
    with house() as assembled:
        done = guarded(assembled, ROTATE, {"new_key": new_key}, as_name, as_json=as_json)
        path = assembled.settings.secret_key_path
    if done is None:
        return
    if as_json:
        print_json(done)
        return
    console.print(
        f"key {done['key']} seals now; {done['resealed']} secrets are wrapped by it. Copy {path} again."
    )
    for setting in (PASSWORD, CLIENT_SECRET):
        if done[setting] is not None:
            typer.echo(f"{setting}: {done[setting]}")
            console.print("Write that line in the settings file: the one there needs the old key.")


@app.command("keys")
def show_keys(as_json: AsJson = False) -> None:
    """The keys of the key file and how many secrets each opens; never the keys themselves."""
    with house() as assembled:
        uses = keys.key_uses(assembled)
    if as_json:
        print_json(uses)
        return
    rows = [(use.key, use.secrets, "seals" if use.seals else "opens only") for use in uses]
    print_table("Keys", ["key", "secrets", "what it does"], rows)

"""`turnup secrets`: the key that seals passwords, its rotation, and sealing a password for the settings."""

from typing import Annotated

import typer

from turnup.app import secrets as keys
from turnup.app.cli.output import AsJson, console, print_json, print_table
from turnup.app.cli.session import actor, house
from turnup.app.mail import PASSWORD
from turnup.kernel.errors import InvalidInput
from turnup.runtime.secrets import SecretBox, seal_text
from turnup.runtime.settings import load_settings

app = typer.Typer(help="The key that seals stored passwords, and its rotation.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="secrets")


@app.command("seal")
def seal(
    setting: Annotated[str, typer.Argument(help="The setting it is for: mail_password.")],
    secret: Annotated[
        str,
        typer.Option(prompt=True, hide_input=True, help="Asked for where left out."),
    ],
) -> None:
    """Seal a password for the settings file: prints what to write there. It opens in this setting only."""
    if setting != PASSWORD:
        raise InvalidInput(
            f"{setting!r} is no setting that can be sealed", field="setting", remedy=f"write {PASSWORD}"
        )
    typer.echo(f"{setting}: {seal_text(SecretBox(load_settings().secret_key_path), secret, setting)}")


@app.command("rotate")
def rotate(
    new_key: Annotated[
        bool,
        typer.Option("--new-key/--no-new-key", help="Without: finish a rotation that was broken off."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Add a key to the key file and wrap every stored secret by it; nothing has to be restarted.

    The old key stays in the file: backups of the database need it.
    `turnup secrets keys` says how many secrets each still opens.
    """
    with house() as assembled:
        done = keys.rotate(assembled, actor(), new_key=new_key)
        path = assembled.settings.secret_key_path
    if as_json:
        print_json(done)
        return
    console.print(f"key {done.key} seals now; {done.resealed} secrets are wrapped by it. Copy {path} again.")
    if done.mail_password is not None:
        typer.echo(f"{PASSWORD}: {done.mail_password}")
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

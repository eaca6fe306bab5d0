"""Puts the commands together and turns errors into exit codes: 1 the installation's, 2 the caller's."""

import sys

import typer

from turnup.app.cli import (
    audit,
    bill,
    config,
    connector,
    data,
    installation,
    lab,
    order,
    output,
    privacy,
    restoration,
    safety,
    secrets,
    staff,
)
from turnup.kernel.errors import TurnupError
from turnup.runtime.observability import configure_logging

app = typer.Typer(
    name="turnup",
    help="The open OSS/BSS for Internet Service Providers. Start with `turnup demo`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
installation.register(app)
data.register(app)
connector.register(app)
order.register(app)
bill.register(app)
config.register(app)
lab.register(app)
secrets.register(app)
safety.register(app)
restoration.register(app)
staff.register(app)
audit.register(app)
privacy.register(app)


def main() -> None:
    """Typer ends the process itself: 0 when done, 2 with usage for a wrong call; the rest are our errors."""
    configure_logging("console", "warning", process="cli")  # on stderr: stdout is the answer, JSON perhaps
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except TurnupError as error:
        output.fail(error, as_json="--json" in sys.argv)
        sys.exit(1 if error.status >= 500 else 2)


if __name__ == "__main__":
    main()

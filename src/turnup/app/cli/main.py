"""Puts the commands together and turns errors into exit codes: 1 the installation's, 2 the caller's."""

import sys

import click
import typer

from turnup.app.cli import bill, config, data, installation, order, output
from turnup.kernel.errors import TurnupError

app = typer.Typer(
    name="turnup",
    help="The open OSS/BSS for Internet Service Providers. Start with `turnup demo`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
installation.register(app)
data.register(app)
order.register(app)
bill.register(app)
config.register(app)


def main() -> None:
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except TurnupError as error:
        output.fail(error, as_json=as_json)
        sys.exit(1 if error.status >= 500 else 2)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()

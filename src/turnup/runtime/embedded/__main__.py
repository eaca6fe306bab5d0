"""The supervisor as a process of its own: `python -m turnup.runtime.embedded --data-dir DIR`."""

import argparse
import sys
from pathlib import Path

from turnup.kernel.errors import TurnupError
from turnup.runtime.embedded.supervisor import run


def main() -> int:
    """Parse the arguments and supervise; 1 when refused, with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m turnup.runtime.embedded", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="the data directory to supervise")
    parser.add_argument("--account", help="when root: the account that runs PostgreSQL (default: nobody)")
    parser.add_argument("--until-pid", type=int, help="stop when this process has ended")
    parser.add_argument(
        "--ephemeral",
        action="store_true",
        help="for tests: do not flush to disk, remove the data directory at the end",
    )
    arguments = parser.parse_args()
    try:
        run(
            arguments.data_dir,
            account=arguments.account,
            ephemeral=arguments.ephemeral,
            until_pid=arguments.until_pid,
        )
    except TurnupError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The lab's command line: run a lab, or operate a running one by `ctl`."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError

from turnup.lab.aaa import create_schema
from turnup.lab.client import LabClient, LabError
from turnup.lab.network_file import load_network
from turnup.lab.world import run

_CTL_HELP = """Operate a running lab.

Arguments are key=value; a value is read as JSON where it is JSON, else as text:
  ctl --state-dir var/lab status
  ctl --state-dir var/lab power_off device=olt1
  ctl --state-dir var/lab lie device=olt1 kind=late_ack delay_ms=800 count=3
  ctl --state-dir var/lab tamper device=olt1 'lines=["delete service S-1"]'
Without an operation, all of them are listed. Reference: docs/reference/lab.md"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m turnup.lab", description=__doc__)
    parser.add_argument("--network", type=Path, required=True, help="the network file (YAML)")
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="host keys, startup configs, endpoints.json"
    )
    parser.add_argument(
        "--aaa-database-url", help="PostgreSQL of the lab's AAA server; without it, no AAA server"
    )
    parser.add_argument("--init-aaa", action="store_true", help="create the schema aaa in that database")
    parser.add_argument("--with-parent", action="store_true", help="end when the starting process is gone")
    return parser


def _ctl_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m turnup.lab ctl",
        description=_CTL_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("op", nargs="?", default="")
    parser.add_argument("arguments", nargs="*", metavar="key=value")
    return parser


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ctl(argv: list[str]) -> int:
    options = _ctl_parser().parse_args(argv)
    pairs = (argument.partition("=") for argument in options.arguments)
    arguments = {name: _value(value) for name, _, value in pairs}
    client = LabClient(options.state_dir)
    try:
        result = client.call(options.op, **arguments)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


def main(argv: list[str]) -> int:
    """Entry point; returns the exit status."""
    if argv[:1] == ["ctl"]:
        return _ctl(argv[1:])
    options = _parser().parse_args(argv)
    try:
        network = load_network(options.network)
    except (ValidationError, OSError, yaml.YAMLError) as error:
        sys.stderr.write(f"{options.network}: {error}\n")
        return 2
    if options.aaa_database_url and options.init_aaa:
        create_schema(options.aaa_database_url)
    asyncio.run(run(network, options.state_dir, options.aaa_database_url, with_parent=options.with_parent))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

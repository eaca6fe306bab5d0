"""How a command gets at the installation: attach to its engine, assemble the house, act as `cli:USER`.

Who owns the machine's shell owns the installation; so commands need no login. Where four eyes are wanted, or
an entry in the audit under one's own name, `--as NAME` asks for the password of a staff member.
"""

import getpass
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from turnup.app.access import access_of
from turnup.app.cli.output import console, print_json
from turnup.app.engine import attach_engine
from turnup.app.house import House, assemble
from turnup.runtime.access.four_eyes import Approval, approval_body, signed_in
from turnup.runtime.auth import Caller
from turnup.runtime.dangerous import Arguments
from turnup.runtime.observability import configure_logging
from turnup.runtime.settings import load_settings

As = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Your staff name: asks for its password, acts as you."),
]
_HERE = "command line"


@contextmanager
def house() -> Iterator[House]:
    """The house of the running installation. Raises Unavailable with the remedy when it does not run."""
    settings = load_settings()
    configure_logging("console", "warning", process="cli")
    assembled = assemble(settings, attach_engine(settings), process="cli")
    try:
        yield assembled
    finally:
        assembled.close()


def actor() -> str:
    return f"cli:{getpass.getuser()}"


def acting(assembled: House, as_name: str | None) -> Caller:
    """The staff member, who has proved it, else whoever has this shell. Raises Unauthenticated,
    TooManyRequests."""
    if as_name is None:
        return Caller(getpass.getuser(), frozenset({"*"}), kind="cli")
    access = access_of(assembled)
    access.logins.prove(as_name, ask_secret(f"Password of {as_name}"), _HERE)
    return signed_in(assembled.runtime, as_name, roles=access.roles)


def guarded(
    assembled: House, action: str, arguments: Arguments, who: str | Caller | None, *, as_json: bool
) -> Mapping[str, Any] | None:
    """Do what is marked dangerous: its result; None where it now waits for a second person, which is said.
    `who`: a staff name (asks for the password), or a caller who is known already."""
    caller = who if isinstance(who, Caller) else acting(assembled, who)
    outcome = access_of(assembled).four_eyes.ask(action, arguments, caller)
    if outcome.waits is None:
        return outcome.result
    if as_json:
        print_json({"approval": approval_body(outcome.waits)})
    else:
        console.print(waits_for_another(outcome.waits))
    return None


def waits_for_another(approval: Approval) -> str:
    return f"waits for a second person: turnup approve yes {approval.id} --as NAME"


def ask_secret(what: str, *, twice: bool = False) -> str:
    """Asked for without echo; where nobody sits there, one line of standard input. Never an argument: those
    are seen by everybody on the machine."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)
    return answer

"""`turnup lab`: a network of real parts on this machine, in namespaces. Needs root and `make peers`."""

from pathlib import Path
from typing import Annotated

import typer

from turnup.app.cli.output import AsJson, console, print_json
from turnup.app.demo.real import network_document, write_network
from turnup.app.demo.stand import examples
from turnup.kernel.errors import InvalidInput, Unavailable
from turnup.lab.real import lab as real
from turnup.lab.real.machine import RealLabError
from turnup.lab.real.plan import Plan

app = typer.Typer(help="A network of real parts on this machine (root).", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="lab")


@app.command("up")
def up(
    is_real: Annotated[
        bool, typer.Option("--real", help="Real parts; the virtual lab is `python -m turnup.lab`.")
    ] = False,
    subscribers: Annotated[int, typer.Option(help="How many subscribers.", min=1, max=200)] = 2,
    pppoe: Annotated[
        int, typer.Option(help="How many more on PPPoE: guests, some 200 MB each, and a BNG.", min=0, max=16)
    ] = 0,
    network: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the network document to import to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build it: subscribers, a Linux access gateway, Kea, two FreeRADIUS, and an internet behind them; with
    --pppoe also a BNG and routers that dial in."""
    if not is_real:
        raise InvalidInput(
            "only the real lab is built by this command",
            field="real",
            remedy="say --real; the virtual lab is started by `python -m turnup.lab --network FILE`",
        )
    try:
        endpoints = real.up(Plan(subscribers, pppoe))
    except RealLabError as error:
        raise Unavailable(str(error)) from error
    if network is not None:
        write_network(network, network_document(examples() / "real", endpoints))
    if as_json:
        routers = endpoints.get("routers", [])
        print_json({"subscribers": endpoints["subscribers"], "routers": routers, "network": network})
        return
    console.print(f"up: {', '.join(endpoints['subscribers'])} behind the access gateway tl-agw")
    if pppoe:
        console.print(f"up: {', '.join(endpoints['routers'])} on PPPoE; they dial when told to")
    if network is not None:
        console.print(f"turnup import network {network}")


@app.command("down")
def down(as_json: AsJson = False) -> None:
    """Remove everything a real lab made on this machine, however it ended. Safe to repeat."""
    try:
        removed = real.down()
    except RealLabError as error:
        raise Unavailable(str(error)) from error
    if as_json:
        print_json({"removed": removed})
        return
    console.print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")

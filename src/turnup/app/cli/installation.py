"""Commands about the installation itself: up, demo, migrate, doctor, token, clock, events, bench, run."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from turnup.app import doctor as examination
from turnup.app.cli.output import AsJson, console, print_json, print_table, tell
from turnup.app.cli.session import actor, house
from turnup.app.demo.story.telling import run_demo
from turnup.app.engine import attach_engine, start_engine
from turnup.app.migrate import migrate as migrate_engine
from turnup.app.processes import Processes, end_with, keep_short, names_of, only_one, until_signalled
from turnup.app.restoration.upgrade import require_current
from turnup.app.server import serve
from turnup.app.worker import COLLECTOR, WORKER, run_collector, run_worker
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.runtime import auth, events
from turnup.runtime.access import staff
from turnup.runtime.access.staff import access_unit
from turnup.runtime.database import Database
from turnup.runtime.restored import Gate
from turnup.runtime.settings import Settings, load_settings

T = TypeVar("T")

token_app = typer.Typer(help="API tokens: who may call, and what.", no_args_is_help=True)
clock_app = typer.Typer(help="The clock of a rehearsal installation.", no_args_is_help=True)
events_app = typer.Typer(help="The event log and what is parked.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(demo)
    app.command()(migrate)
    app.command()(doctor)
    app.command(hidden=True)(run)
    app.command()(bench)
    app.add_typer(token_app, name="token")
    app.add_typer(clock_app, name="clock")
    app.add_typer(events_app, name="events")


def up() -> None:
    """Start everything: the embedded database, the API, the workers and the collector. Ctrl-C stops it.

    A second `turnup up` on the same data directory is refused and says who holds it.
    """
    settings = load_settings()
    with only_one(settings.data_dir):
        engine = start_engine(settings, until_pid=os.getpid())
        require_current(settings)
        if migrate_engine(engine):
            console.print("database laid out")
        processes = Processes(
            {"TURNUP_DATA_DIR": str(settings.data_dir)}, settings.data_dir / "log", names_of(settings.workers)
        )
        try:
            processes.start()
            _stay_up(settings)
        finally:
            processes.stop()


def _stay_up(settings: Settings) -> None:
    console.print(
        f"API at http://{settings.http_host}:{settings.http_port}/docs, logs in {settings.data_dir}/log"
    )
    console.print(
        "let yourself in: `turnup staff create NAME --role administrator`; a program: `turnup token`"
    )
    _tell_closed(settings)
    until_signalled()


def _tell_closed(settings: Settings) -> None:
    database = Database(attach_engine(settings).url, pool_size=1, application_name="turnup-up")
    try:
        closed_by = Gate(database.engine).closed_by()
    finally:
        database.close()
    if closed_by is not None:
        console.print(
            "[yellow]The books were restored and are closed[/]: nothing runs and nothing is written until "
            "`turnup restore compare` and `turnup restore release`"
        )


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the story instead of staying up.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to this file.")
    ] = None,
    customers: Annotated[int, typer.Option(help="Customers that run already.", min=10, max=960)] = 200,
) -> None:
    """The whole story on this machine: order, live, upgrade, outage, credit, bill, dunning, reconciliation.

    Starts everything it needs (embedded PostgreSQL, a virtual access network that speaks SSH, RADIUS and
    SNMP) in a directory of its own, moves the clock through a month, and cleans up after itself.
    """
    if not run_demo(once=once, json_file=json_file, customers=customers):
        raise typer.Exit(1)


def migrate(as_json: AsJson = False) -> None:
    """Lay out the database, or bring it to what this version needs. Safe to repeat."""
    done = migrate_engine(start_engine(load_settings()))
    tell("database laid out" if done else "nothing to do", {"changed": bool(done)}, as_json=as_json)


def doctor(as_json: AsJson = False) -> None:
    """Find what is wrong with this installation, and say how to mend it. Exit code 1 if anything is."""
    findings = examination.examine(load_settings())
    if as_json:
        print_json(findings)
    else:
        print_table(
            "Doctor",
            ["check", "result", "what it says", "remedy"],
            [(f.check, "ok" if f.ok else "NOT OK", f.detail, f.remedy or "") for f in findings],
        )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def run(
    name: str,
    until_pid: Annotated[int | None, typer.Option(help="Stop when this parent process has ended.")] = None,
    log_file: Annotated[
        Path | None, typer.Option(help="The file its output goes to: put aside at 16 MiB, and begun anew.")
    ] = None,
) -> None:
    """One process of the installation: server, worker (or worker-2 and so on) or collector. `turnup up`
    starts them all."""
    kind, _, number = name.partition("-")
    processes: dict[str, Callable[[Settings], None]] = {
        "server": serve,
        WORKER: partial(run_worker, number=int(number) if number.isdecimal() else 1),
        COLLECTOR: run_collector,
    }
    if kind not in processes:
        raise InvalidInput(f"no process {name!r}", field="name", remedy=f"use one of: {', '.join(processes)}")
    if until_pid is not None:
        end_with(until_pid)
    if log_file is not None:
        keep_short(log_file)
    processes[kind](load_settings())


def bench(name: str) -> None:
    """Run a benchmark and print its figures as JSON: order_to_active, bill_run, recovery, drift, reconnect,
    aaa or real_story. They live beside the source; the last two need root."""
    known = ("order_to_active", "bill_run", "recovery", "drift", "reconnect", "aaa", "real_story")
    if name not in known:
        raise InvalidInput(f"no benchmark {name!r}", field="name", remedy=f"use one of: {', '.join(known)}")
    if not Path("benchmarks").is_dir():
        raise NotFound(
            "benchmarks run from a source checkout", field="name", remedy="clone the repository, then repeat"
        )
    os.execv(sys.executable, [sys.executable, "-m", f"benchmarks.{name}", "--json", "-"])


@token_app.command("create")
def token_create(
    name: str,
    scope: Annotated[list[str], typer.Option(help="What it may do, e.g. orders:write; '*' is everything.")],
    days: Annotated[int | None, typer.Option(help="Days until it expires; without it, never.")] = None,
    legal_entity: Annotated[
        str | None, typer.Option(help="Code of the legal entity it is confined to; without it, none.")
    ] = None,
    brand: Annotated[str | None, typer.Option(help="Code of the brand it is confined to.")] = None,
    owner: Annotated[
        str | None,
        typer.Option(help="Staff member it belongs to: it opens no more than she may, and ends with her."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    with house() as assembled:
        realm = None
        if legal_entity or brand:
            crm = assembled.crm
            realm = auth.Realm(
                known("legal_entity", legal_entity, crm.legal_entity), known("brand", brand, crm.brand)
            )
        with access_unit(assembled.runtime, actor()) as unit:
            if owner is not None:
                staff.existing(unit.connection, owner)
            expires_at = unit.now + timedelta(days=days) if days else None
            token = auth.issue_token(
                unit.connection,
                name,
                scope,
                now=unit.now,
                expires_at=expires_at,
                realm=realm,
                owner=owner,
            )
            unit.audit("token.issued", name, after={"scopes": scope, "owner": owner})
    tell(token, {"name": name, "token": token, "expires_at": expires_at}, as_json=as_json)


def known(field: str, code: str | None, find: Callable[[str], T | None]) -> T | None:
    """What the code stands for. Raises NotFound: a typing error must not make a token that opens all."""
    if code is None:
        return None
    found = find(code)
    if found is None:
        raise NotFound(
            f"there is no {field.replace('_', ' ')} {code!r}", field=field, remedy="check its code"
        )
    return found


@token_app.command("list")
def token_list(as_json: AsJson = False) -> None:
    """The tokens, without their secrets."""
    with house() as assembled, assembled.database.engine.connect() as connection:
        tokens = auth.list_tokens(connection)
    if as_json:
        print_json(tokens)
        return
    rows = [
        (
            t.name,
            " ".join(t.scopes),
            "confined" if t.legal_entity_id or t.brand_id else "all",
            t.owner,
            t.expires_at or "never",
            "yes" if t.revoked else "",
        )
        for t in tokens
    ]
    print_table("Tokens", ["name", "scopes", "realm", "owner", "expires", "revoked"], rows)


@token_app.command("revoke")
def token_revoke(name: str, as_json: AsJson = False) -> None:
    """Refuse a token from now on (other processes within five seconds)."""
    with house() as assembled, access_unit(assembled.runtime, actor()) as unit:
        auth.revoke_token(unit.connection, name)
        unit.audit("token.revoked", name)
    tell(f"{name} is refused from now on", {"name": name, "revoked": True}, as_json=as_json)


@clock_app.command("show")
def clock_show(as_json: AsJson = False) -> None:
    """Turnup's time."""
    with house() as assembled:
        clock = assembled.runtime.clock
        if as_json:
            print_json({"now": clock.now(), "simulated": clock.simulated})
        else:
            console.print(f"{clock.now():%Y-%m-%d %H:%M:%S} UTC{' (simulated)' if clock.simulated else ''}")


@clock_app.command("advance")
def clock_advance(
    days: Annotated[float, typer.Option(help="Days to move forward.")] = 0,
    hours: Annotated[float, typer.Option(help="Hours to move forward.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Move time forward; only with the setting simulated_clock."""
    with house() as assembled:
        assembled.runtime.clock.advance(timedelta(days=days, hours=hours))
        now = assembled.runtime.clock.now()
    tell(f"it is {now:%Y-%m-%d %H:%M} UTC", {"now": now}, as_json=as_json)


@events_app.command("lag")
def events_lag(as_json: AsJson = False) -> None:
    """How far each component is behind the event log."""
    with house() as assembled, assembled.database.engine.connect() as connection:
        lag = events.lag(connection)
    if as_json:
        print_json(lag)
        return
    print_table(
        "Event lag", ["consumer", "events behind"], [(k or "(not sequenced)", v) for k, v in lag.items()]
    )


@events_app.command("parked")
def events_parked(as_json: AsJson = False) -> None:
    """Events that could not be handled, with the reason; everything else goes on."""
    with house() as assembled, assembled.database.engine.connect() as connection:
        parked = events.parked(connection)
    if as_json:
        print_json(parked)
        return
    rows = [(p["consumer"], p["type"], p["aggregate_id"], p["error"]) for p in parked]
    print_table("Parked events", ["consumer", "event", "aggregate", "error"], rows)


@events_app.command("retry")
def events_retry(consumer: str, as_json: AsJson = False) -> None:
    """Handle a consumer's parked events again, in order, after the cause was mended."""
    with house() as assembled:
        known = {c.component: c for c in assembled.consumers()}
        if consumer not in known:
            raise NotFound(
                f"no consumer {consumer!r}", field="consumer", remedy=f"one of: {', '.join(known)}"
            )
        with assembled.database.engine.connect() as connection:
            waiting = {p["aggregate_id"] for p in events.parked(connection) if p["consumer"] == consumer}
        done = {aggregate: known[consumer].retry(aggregate).handled for aggregate in sorted(waiting)}
    lines = [f"{aggregate}: {handled} events handled by {actor()}" for aggregate, handled in done.items()]
    tell("\n".join(lines) or "nothing is parked", {"consumer": consumer, "handled": done}, as_json=as_json)

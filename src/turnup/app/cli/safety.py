"""`turnup freeze` and `turnup brake`: stop writing to the network; decide what may change by itself."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer

from turnup.app.access import access_of
from turnup.app.cli.output import AsJson, console, print_json, print_table, tell
from turnup.app.cli.session import As, acting, actor, guarded, house, waits_for_another
from turnup.app.house import House
from turnup.contracts.configuration import LIFT_EVERYTHING, FreezeScope
from turnup.contracts.provisioning import RELEASE_HOLDS, HoldState, HoldView
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import FreezeId, HoldId, ServiceId
from turnup.oss.configuration.routes import is_of_all
from turnup.oss.configuration.workflows import SETTLE_S
from turnup.runtime.access.four_eyes import approval_body

freeze_app = typer.Typer(
    help="Stop all writing to an element, a site or everything; reads go on.", no_args_is_help=True
)
brake_app = typer.Typer(
    help="Automatic changes of services that wait for a person's release.", no_args_is_help=True
)

Reason = Annotated[str, typer.Option("--reason", help="Why; kept with your name.")]
Chosen = Annotated[list[int] | None, typer.Argument(help="Numbers from `turnup brake list`; or --all.")]
AllOfThem = Annotated[bool, typer.Option("--all", help="All that wait.")]


def register(parent: typer.Typer) -> None:
    parent.add_typer(freeze_app, name="freeze")
    parent.add_typer(brake_app, name="brake")


# --- freeze ----------------------------------------------------------------------------------------------


@freeze_app.command("element")
def freeze_element(code: str, reason: Reason, as_json: AsJson = False) -> None:
    """Stop writing to one element."""
    _freeze(FreezeScope.ELEMENT, code, reason, as_json=as_json)


@freeze_app.command("site")
def freeze_site(code: str, reason: Reason, as_json: AsJson = False) -> None:
    """Stop writing to every element of a site (POP)."""
    _freeze(FreezeScope.SITE, code, reason, as_json=as_json)


@freeze_app.command("all")
def freeze_all(reason: Reason, as_json: AsJson = False) -> None:
    """Stop writing to every element, and dunning with it."""
    _freeze(FreezeScope.ALL, None, reason, as_json=as_json)


def _freeze(scope: FreezeScope, code: str | None, reason: str, *, as_json: bool) -> None:
    with house() as assembled:
        with assembled.runtime.unit("configuration", actor()) as unit:
            freeze_id = assembled.configuration.freeze(unit, scope, code, reason)
        busy = assembled.path.settle(freeze_id, deadline_s=SETTLE_S)
    if as_json:
        print_json({"id": freeze_id, "stillWriting": list(busy)})
    else:
        console.print(f"frozen; lift it with: turnup freeze lift {freeze_id} --reason WHY")
        if busy:
            console.print(f"[red]still being written[/]: {', '.join(busy)}")
    if busy:
        raise typer.Exit(1)


@freeze_app.command("list")
def freeze_list(
    lifted: Annotated[bool, typer.Option("--lifted", help="Those lifted, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The freezes in force, who ordered them and why."""
    with house() as assembled:
        views = assembled.configuration.freezes(active_only=not lifted)
    if as_json:
        print_json(views)
        return
    rows = [
        (v.id, v.scope.value, v.code, v.frozen_by, v.frozen_at, v.reason, v.lifted_by, v.lifted_at)
        for v in views
    ]
    columns = ["freeze", "scope", "code", "by", "since", "reason", "lifted by", "lifted"]
    print_table("Freezes", columns, rows)


@freeze_app.command("lift")
def freeze_lift(
    freeze: Annotated[str | None, typer.Argument(help="Id from `turnup freeze list`; or --all.")] = None,
    reason: Reason = "",
    everything: Annotated[bool, typer.Option("--all", help="Every freeze in force.")] = False,
    as_name: As = None,
    as_json: AsJson = False,
) -> None:
    """Lift a freeze; the orders that waited go on by themselves. A freeze of all may need four eyes."""
    with house() as assembled:
        present = [view.id for view in assembled.configuration.freezes()]
        chosen = present if everything else [_freeze_id(freeze)]
        caller = acting(assembled, as_name)
        of_all = [each for each in chosen if is_of_all(assembled.configuration, each)]
        with assembled.runtime.unit("configuration", caller.actor) as unit:
            for freeze_id in chosen:
                if freeze_id not in of_all:
                    assembled.configuration.lift(unit, freeze_id, reason)
        four_eyes = access_of(assembled).four_eyes
        asked = [
            four_eyes.ask(LIFT_EVERYTHING, {"freeze": str(each), "reason": reason}, caller) for each in of_all
        ]
    waiting = [outcome.waits for outcome in asked if outcome.waits is not None]
    lifted = len(chosen) - len(waiting)
    said = [f"{lifted} lifted", *(waits_for_another(each) for each in waiting)]
    facts = {"lifted": lifted, "approvals": [approval_body(each) for each in waiting]}
    tell("\n".join(said), facts, as_json=as_json)


def _freeze_id(text: str | None) -> FreezeId:
    try:
        return FreezeId(UUID(text or ""))
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no freeze", field="freeze", remedy="copy it from `turnup freeze list`, or use --all"
        ) from error


# --- brake -----------------------------------------------------------------------------------------------


@brake_app.command("list")
def brake_list(
    decided: Annotated[bool, typer.Option("--decided", help="Those decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the brake holds, in the order in which it came, and how much of the hour is used."""
    with house() as assembled:
        brake = assembled.provisioning.brake()
        views = assembled.provisioning.holds(open_only=not decided)
        numbers = {s.id: s.number for s in assembled.provisioning.services(_services(views))} if views else {}
    if as_json:
        print_json({"brake": brake, "holds": views})
        return
    console.print(
        f"{brake.used} of {brake.limit} services changed by themselves within the last hour; "
        f"{brake.waiting} changes of {brake.waiting_services} services wait"
    )
    rows = [
        (
            v.n,
            v.what,
            ", ".join(numbers.get(s, str(s)) for s in v.service_ids),
            f"{v.cause.kind.value}: {v.cause.text}",
            v.held_at,
            v.state.value,
            v.decided_by,
            v.decision_reason,
        )
        for v in views
    ]
    columns = ["no", "what", "services", "cause", "held", "state", "by", "reason"]
    print_table("Held", columns, rows)


@brake_app.command("release")
def brake_release(
    numbers: Chosen = None,
    reason: Reason = "",
    everything: AllOfThem = False,
    as_name: As = None,
    as_json: AsJson = False,
) -> None:
    """Let held changes go on. They do not count against the hour: you have looked at them."""
    with house() as assembled:
        ids = _chosen(assembled, numbers, everything=everything)
        chosen = None if ids is None else [str(each) for each in ids]
        arguments = {"holds": chosen, "reason": reason}
        done = guarded(assembled, RELEASE_HOLDS, arguments, as_name, as_json=as_json)
    if done is not None:
        _say(HoldState.RELEASED, done["decided"], as_json=as_json)


@brake_app.command("refuse")
def brake_refuse(
    numbers: Chosen = None,
    reason: Reason = "",
    everything: AllOfThem = False,
    as_name: As = None,
    as_json: AsJson = False,
) -> None:
    """Refuse held changes: their orders are cancelled, nothing of them ever reaches the network."""
    with house() as assembled:
        ids = _chosen(assembled, numbers, everything=everything)
        with assembled.runtime.unit("provisioning", acting(assembled, as_name).actor) as unit:
            done = assembled.provisioning.refuse_holds(unit, ids, reason)
    _say(HoldState.REFUSED, done, as_json=as_json)


def _say(state: HoldState, done: int, *, as_json: bool) -> None:
    if as_json:
        print_json({state.value: done})
    else:
        console.print(f"{done} {state.value}")


def _services(views: Sequence[HoldView]) -> list[ServiceId]:
    return [service_id for view in views for service_id in view.service_ids]


def _chosen(assembled: House, numbers: list[int] | None, *, everything: bool) -> list[HoldId] | None:
    if everything:
        return None
    if not numbers:
        raise InvalidInput("nothing chosen", field="numbers", remedy="name their numbers, or use --all")
    known = {view.n: view.id for view in assembled.provisioning.holds(open_only=False)}
    missing = [n for n in numbers if n not in known]
    if missing:
        raise NotFound(
            f"the brake holds no {missing[0]}", field="numbers", remedy="list them: turnup brake list"
        )
    return [known[n] for n in numbers]

"""`turnup order` and `turnup service`: submit, follow, cancel; fall-out and tasks; the facts of a service."""

import time
from typing import Annotated
from uuid import UUID

import typer

from turnup.app.cli.output import AsJson, console, print_json, print_table, tell
from turnup.app.cli.session import actor, house
from turnup.app.house import House
from turnup.bss.orders.model import TERMINAL
from turnup.contracts.orders import (
    FalloutChoice,
    ItemAction,
    NewOrder,
    NewOrderItem,
    OrderState,
    OrderView,
    ProductStatus,
)
from turnup.contracts.provisioning import Management
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import OrderId, ProductId, TaskId

app = typer.Typer(
    help="Orders: submit, follow, cancel; the fall-out queue and human tasks.", no_args_is_help=True
)
service_app = typer.Typer(help="Services and what the network proves of them.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="order")
    parent.add_typer(service_app, name="service")


@app.command("submit")
def submit(
    account: Annotated[str, typer.Argument(help="Number of the billing account, e.g. A-100001.")],
    offering: Annotated[str | None, typer.Option(help="What is sold, or the new plan.")] = None,
    product: Annotated[str | None, typer.Option(help="Id of the product to change or end.")] = None,
    action: Annotated[ItemAction, typer.Option(help="add, modify or delete.")] = ItemAction.ADD,
    status: Annotated[ProductStatus | None, typer.Option(help="With modify: suspended or active.")] = None,
    char: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, may be repeated.")] = None,
    site: Annotated[str | None, typer.Option(help="Serving site, when the address does not tell.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: repeating the command is harmless.")
    ] = None,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to follow the order; 0: do not.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Submit an order with one item and follow it until it is done or stuck."""
    with house() as assembled:
        found = assembled.crm.account_by_number(account)
        if found is None:
            raise NotFound(
                f"no billing account {account!r}", field="account", remedy="numbers look like A-100001"
            )
        item = NewOrderItem(
            action=action,
            offering=offering,
            product_id=ProductId(_id(product, "product")) if product else None,
            characteristics=_pairs(char or []),
            target_status=status,
        )
        new = NewOrder(account_id=found.id, items=(item,), site=site, idempotency_key=key, origin="cli")
        with assembled.runtime.unit("orders", actor()) as unit:
            order_id = assembled.orders.submit(unit, new)
        view = follow(assembled, order_id, wait_s)
    show(view, as_json=as_json)


def follow(assembled: House, order_id: OrderId, wait_s: float) -> OrderView:
    """The order once it rests (done, held or waiting), or as it is when the time is over."""
    until = time.monotonic() + wait_s
    while True:
        view = assembled.orders.order(order_id)
        assert view is not None
        resting = view.state in TERMINAL or view.state in (OrderState.HELD, OrderState.PENDING)
        if resting or time.monotonic() > until:
            return view
        time.sleep(0.05)


def show(view: OrderView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    console.print(f"[bold]{view.number}[/] is {view.state}" + (f": {view.error}" if view.error else ""))
    for item in view.items:
        console.print(f"  {item.action} {item.offering_code}: product {item.product_id}")
    print_table(
        "Timeline",
        ["step", "attempt", "ms", "of it devices", "ok", "what"],
        [
            (s.name, s.attempt, round(s.ms, 1), round(s.device_ms, 1), "yes" if s.ok else "NO", s.detail)
            for s in view.steps
        ],
    )


@app.command("show")
def show_order(number: str, as_json: AsJson = False) -> None:
    """One order with its timeline in milliseconds, Turnup's and the devices' apart."""
    with house() as assembled:
        show(_by_number(assembled, number), as_json=as_json)


@app.command("list")
def list_orders(
    state: Annotated[OrderState | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Orders to show, newest first.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="How many of the newest to leave out.")] = 0,
    as_json: AsJson = False,
) -> None:
    """The newest orders; the title says how many there are."""
    states = [state.value] if state else []
    with house() as assembled:
        views = assembled.orders.orders(states=states, offset=offset, limit=limit)
        total = assembled.orders.count_orders(states=states)
    if as_json:
        print_json(views)
        return
    rows = [
        (v.number, v.state.value, ", ".join(f"{i.action} {i.offering_code}" for i in v.items), v.created_at)
        for v in views
    ]
    title = "Orders" if len(views) == total else f"Orders, {len(views)} of {total}"
    print_table(title, ["number", "state", "items", "created"], rows)


@app.command("cancel")
def cancel(
    number: str,
    reason: Annotated[str, typer.Option(help="Why; kept with the order.")] = "cancelled by staff",
    as_json: AsJson = False,
) -> None:
    """Cancel an order in flight; what was done is undone on the network."""
    with house() as assembled:
        view = _by_number(assembled, number)
        with assembled.runtime.unit("orders", actor()) as unit:
            assembled.orders.cancel(unit, view.id, reason)
        show(follow(assembled, view.id, 30.0), as_json=as_json)


@app.command("fallout")
def fallout(as_json: AsJson = False) -> None:
    """Orders that stopped: what failed, why, and what can be done about it."""
    with house() as assembled:
        views = assembled.orders.fallout()
    if as_json:
        print_json(views)
        return
    rows = [(v.order_number, v.step, v.reason, " | ".join(v.choices), v.since) for v in views]
    print_table("Fall-out", ["order", "step", "reason", "choices", "since"], rows)


@app.command("resolve")
def resolve(
    number: str,
    choice: FalloutChoice,
    reason: Annotated[str, typer.Option(help="Why; a skip needs one.")] = "",
    edit: Annotated[list[str] | None, typer.Option(help="With edit: NAME=VALUE, may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide about an order that fell out: retry it, edit and retry, undo it, or skip the step."""
    with house() as assembled:
        view = _by_number(assembled, number)
        edits = {name: str(value) for name, value in _pairs(edit or []).items()}
        with assembled.runtime.unit("orders", actor()) as unit:
            assembled.orders.resolve_fallout(unit, view.id, choice, reason, edits or None)
        show(follow(assembled, view.id, 30.0), as_json=as_json)


@app.command("tasks")
def tasks(as_json: AsJson = False) -> None:
    """Human tasks of orders: visits, kits to ship."""
    with house() as assembled:
        views = assembled.orders.tasks()
    if as_json:
        print_json(views)
        return
    print_table(
        "Tasks", ["id", "what", "blocks", "state"], [(v.id, v.name, v.blocks, v.state) for v in views]
    )


@app.command("done")
def done(
    task: Annotated[str, typer.Argument(help="Id of the task.")],
    fact: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, e.g. ont_serial=TRNP0001.")] = None,
    as_json: AsJson = False,
) -> None:
    """A human task is done; the order goes on."""
    with house() as assembled, assembled.runtime.unit("orders", actor()) as unit:
        facts = {name: str(value) for name, value in _pairs(fact or []).items()}
        assembled.orders.complete_task(unit, TaskId(_id(task, "task")), facts)
    tell("done; the order goes on", {"task": task, "done": True}, as_json=as_json)


@service_app.command("show")
def service_show(
    number: Annotated[str, typer.Argument(help="Number of the service, or its login.")],
    as_json: AsJson = False,
) -> None:
    """A service with its three facts: configuration present, subscriber online, traffic seen."""
    with house() as assembled:
        view = assembled.provisioning.service_by_number(number) or assembled.provisioning.service_by_login(
            number
        )
        if view is None:
            raise NotFound(f"no service {number!r}", field="number", remedy="numbers look like S-100001")
        held = assembled.inventory.reservation(view.id)
    if as_json:
        print_json({"service": view, "resources": held.resources if held else {}})
        return
    facts = view.facts
    console.print(f"[bold]{view.number}[/] ({view.login}) is {view.state}, {view.management}")
    console.print(
        f"  configuration present: {facts.configuration_present} (read {facts.configuration_read_at})"
    )
    console.print(f"  subscriber online:     {facts.online} (since {facts.online_changed_at})")
    console.print(f"  traffic seen:          {facts.traffic_seen_at}")
    print_table("Resources", ["kind", "value"], sorted(held.resources.items()) if held else [])


@service_app.command("manage")
def service_manage(
    to: Annotated[Management, typer.Argument(help="observed | adopted | managed.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with your name.")],
    service: Annotated[str | None, typer.Option(help="Number of one service.")] = None,
    element: Annotated[str | None, typer.Option(help="All on this element, by its code.")] = None,
    site: Annotated[str | None, typer.Option(help="All at this site (POP), by its code.")] = None,
    as_json: AsJson = False,
) -> None:
    """Observe, adopt or manage running services. Elements are read, never written to.

    Adopted: the desired state is taken from the elements. Who differs from what is desired stays as it was.
    """
    with house() as assembled:
        chosen = assembled.takeover.chosen(service=service, element=element, site=site)
        moves = assembled.takeover.move(chosen, to, reason, actor())
    if as_json:
        print_json(moves)
    else:
        rows = [
            (
                m.number,
                m.before.value,
                m.now.value,
                ", ".join(f"{n}={v[1]}" for n, v in m.taken.items()),
                m.refused,
            )
            for m in moves
        ]
        print_table("Management", ["service", "before", "now", "taken", "refused because"], rows)
    if any(move.refused for move in moves):
        raise typer.Exit(1)


@service_app.command("ont")
def service_ont(number: str, serial: str, as_json: AsJson = False) -> None:
    """Note the serial of the ONT at a service; the network is configured for it."""
    with house() as assembled:
        view = assembled.provisioning.service_by_number(number)
        if view is None:
            raise NotFound(f"no service {number!r}", field="number", remedy="numbers look like S-100001")
        with assembled.runtime.unit("inventory", actor()) as unit:
            assembled.inventory.set_ont_serial(unit, view.id, serial)
    tell(f"{serial} noted at {number}", {"service": number, "ont_serial": serial}, as_json=as_json)


def _by_number(assembled: House, number: str) -> OrderView:
    view = assembled.orders.order_by_number(number)
    if view is None:
        raise NotFound(f"no order {number!r}", field="number", remedy="numbers look like O-100001")
    return view


def _pairs(texts: list[str]) -> dict[str, str | int | bool]:
    found: dict[str, str | int | bool] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text!r} is not NAME=VALUE", field="char", remedy="write static_ipv4=true")
        found[name] = value
    return found


def _id(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not an id", field=field, remedy="copy it from a list") from error

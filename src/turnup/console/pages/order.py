"""An order: what was asked, its timeline to the millisecond, and what to do where it stopped; the queue."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console import fallout as words
from turnup.console.desk import Desk
from turnup.console.forms import FORM, Field, Question, ask
from turnup.console.rendering import show
from turnup.console.visibility import not_here, sees
from turnup.contracts.orders import FalloutChoice, FalloutView, OrderState, OrderView, ProductView
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.runtime.auth import Caller, authorise

_MOVING = frozenset(
    {
        OrderState.ACKNOWLEDGED,
        OrderState.IN_PROGRESS,
        OrderState.ASSESSING_CANCELLATION,
        OrderState.PENDING_CANCELLATION,
    }
)
"""In these the page looks again by itself."""
_EDIT = "edit."
_DONE = {choice.value: f"{name}: it is under way." for choice, name in words.NAMES.items()}


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console", include_in_schema=False)

    @routes.get("/fallout")
    def queue(request: Request) -> Response:
        """Every order that stopped, the oldest first."""
        caller = authorise(request, "orders:read")
        rows = [(each, words.meaning(each.step)) for each in desk.orders.fallout()]
        return show(request, "fallout.html", caller=caller, rows=rows)

    @routes.get("/orders/{number}")
    def order(request: Request, number: str, done: str = "") -> Response:
        caller = authorise(request, "orders:read", heeds_realm=True)
        found = _order(desk, caller, number)
        part = request.headers.get("hx-request") == "true"
        facts = _facts(desk, caller, found)
        template = "order_live.html" if part else "order.html"
        return show(request, template, caller=caller, flash=_DONE.get(done, ""), **facts)

    @routes.get("/orders/{number}/fallout/{choice}")
    def before(request: Request, number: str, choice: FalloutChoice) -> Response:
        """What the choice would do."""
        caller = authorise(request, "orders:write", heeds_realm=True)
        found, stopped = _stopped(desk, caller, number, choice)
        return ask(request, caller, _question(desk, found, stopped, choice))

    @routes.post("/orders/{number}/fallout/{choice}")
    def resolve(
        request: Request, number: str, choice: FalloutChoice, form: Mapping[str, str] = FORM
    ) -> Response:
        caller = authorise(request, "orders:write", heeds_realm=True)
        found, stopped = _stopped(desk, caller, number, choice)
        edits = _edits(form, _product(desk, found)) if choice is FalloutChoice.EDIT else None
        try:
            with desk.runtime.unit("orders", caller.actor) as unit:
                desk.orders.resolve_fallout(unit, found.id, choice, form.get("reason", ""), edits)
        except (InvalidInput, Conflict, NotFound) as error:
            return ask(request, caller, _question(desk, found, stopped, choice), error)
        return RedirectResponse(f"/console/orders/{number}?{urlencode({'done': choice.value})}", 303)

    return routes


def _order(desk: Desk, caller: Caller, number: str) -> OrderView:
    found = desk.orders.order_by_number(number)
    if found is None or not sees(caller, desk.customers.account(found.account_id)):
        raise not_here("order", number)
    return found


def _facts(desk: Desk, caller: Caller, order: OrderView) -> dict[str, Any]:
    stopped = desk.orders.fallout_of(order.id)
    services = {each.id: each for each in desk.services.services([item.service_id for item in order.items])}
    return {
        "order": order,
        "customer": desk.customers.customer(order.customer_id) if caller.may("crm:read") else None,
        "account": desk.customers.account(order.account_id) if caller.may("crm:read") else None,
        "services": services if caller.may("services:read") else {},
        "tasks": desk.orders.tasks(order.id),
        "total_ms": sum(step.ms for step in order.steps),
        "device_ms": sum(step.device_ms for step in order.steps),
        "stopped": stopped,
        "meaning": words.meaning(stopped.step) if stopped else "",
        "choices": _choices(stopped) if stopped and caller.may("orders:write") else (),
        "moving": order.state in _MOVING,
    }


def _choices(stopped: FalloutView) -> Sequence[tuple[FalloutChoice, str, str]]:
    return [(choice, words.NAMES[choice], words.summary(choice, stopped.step)) for choice in stopped.choices]


def _stopped(desk: Desk, caller: Caller, number: str, choice: FalloutChoice) -> tuple[OrderView, FalloutView]:
    order = _order(desk, caller, number)
    stopped = desk.orders.fallout_of(order.id)
    if stopped is None:
        raise Conflict(
            f"order {number} has not stopped, or somebody has decided already",
            field="state",
            remedy=f"look at it again: /console/orders/{number}",
        )
    if choice not in stopped.choices:
        raise InvalidInput(
            f"a {stopped.step} that failed cannot be resolved by {choice.value}",
            field="choice",
            remedy=f"choose from: {', '.join(stopped.choices)}",
        )
    return order, stopped


def _product(desk: Desk, order: OrderView) -> ProductView | None:
    return desk.orders.product(order.items[0].product_id)


def _question(desk: Desk, order: OrderView, stopped: FalloutView, choice: FalloutChoice) -> Question:
    fields = [
        Field(
            name="reason",
            label="Reason",
            hint="kept with the order and in the audit",
            required=choice is FalloutChoice.SKIP,
        )
    ]
    if choice is FalloutChoice.EDIT:
        fields = [*_edit_fields(_product(desk, order)), *fields]
    return Question(
        title=f"{words.NAMES[choice]}: order {order.number}",
        act=words.NAMES[choice],
        back=f"/console/orders/{order.number}",
        effects=words.effects(choice, stopped, order),
        facts=(("It stopped in", stopped.step), ("Because", stopped.reason)),
        fields=fields,
        dangerous=choice in (FalloutChoice.UNDO, FalloutChoice.SKIP),
    )


def _edit_fields(product: ProductView | None) -> Sequence[Field]:
    values = sorted(product.characteristics.items()) if product else ()
    site = Field(name=f"{_EDIT}site", label="Serving site", hint="code of another POP; empty: as it is")
    return [site, *(Field(name=f"{_EDIT}{name}", label=name, value=value) for name, value in values)]


def _edits(form: Mapping[str, str], product: ProductView | None) -> dict[str, str]:
    """Only what differs from what there is: a value that is fixed may stay in its field untouched."""
    present = product.characteristics if product else {}
    given = {
        name.removeprefix(_EDIT): value
        for name, value in form.items()
        if name.startswith(_EDIT) and (value or name != f"{_EDIT}site")
    }
    return {name: value for name, value in given.items() if present.get(name) != value}

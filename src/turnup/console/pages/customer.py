"""The customer in one page: what she has, how it is, why it is so, what she was billed, what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console.desk import Desk
from turnup.console.diagnosis import Cause, meaning_of, why_offline
from turnup.console.pages.search import state_of
from turnup.console.rendering import money, show
from turnup.console.visibility import not_here, sees
from turnup.contracts.billing import InvoiceView, PaymentView
from turnup.contracts.crm import AccountView, CustomerView
from turnup.contracts.inventory import Reservation
from turnup.contracts.monitoring import ProblemView, SessionView
from turnup.contracts.orders import OrderView, ProductView
from turnup.contracts.provisioning import ServiceView
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import AccountId, ServiceId
from turnup.runtime.auth import Caller, authorise

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A service with everything that is known of it."""

    service: ServiceView
    state: str
    product: ProductView | None
    session: SessionView | None
    problem: ProblemView | None
    held: Mapping[str, str]
    causes: Sequence[Cause]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One entry of the timeline."""

    at: datetime
    what: str
    text: str
    href: str = ""
    whole_day: bool = False
    """Only its day is known."""


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console", include_in_schema=False)

    @routes.get("/customers/{number}")
    def customer(request: Request, number: str) -> Response:
        caller = authorise(request, "crm:read", heeds_realm=True)
        found = desk.customers.customer_by_number(number)
        if found is None or not sees(caller, found):
            raise not_here("customer", number)
        return show(request, "customer.html", caller=caller, **_facts(desk, caller, found))

    @routes.get("/services/{number}")
    def service(request: Request, number: str) -> Response:
        """A service is shown on its customer's page."""
        caller = authorise(request, "services:read", heeds_realm=True)
        _, owner = _service(desk, caller, number)
        return RedirectResponse(f"/console/customers/{owner.number}#service-{number}", 303)

    @routes.get("/services/{number}/last-reject")
    def last_reject(request: Request, number: str) -> Response:
        """What the AAA servers say: asked apart, because it is the only thing here that may take its time."""
        caller = authorise(request, "services:read", heeds_realm=True)
        found, _ = _service(desk, caller, number)
        rejection, silent = None, ""
        try:
            rejection = desk.rejections.last_rejection(found.login)
        except Unavailable as error:
            silent = error.message
        return show(request, "last_reject.html", caller=caller, rejection=rejection, silent=silent)

    return routes


def _service(desk: Desk, caller: Caller, number: str) -> tuple[ServiceView, CustomerView]:
    found = desk.services.service_by_number(number)
    owner = None if found is None else desk.customers.customer(found.customer_id)
    if found is None or owner is None or not sees(caller, owner):
        raise not_here("service", number)
    return found, owner


def _facts(desk: Desk, caller: Caller, customer: CustomerView) -> dict[str, Any]:
    """Everything the page shows, as far as she may see it: None where she may not."""
    accounts = [each for each in desk.customers.accounts_of(customer.id) if sees(caller, each)]
    ids = [account.id for account in accounts]
    lines = _lines(desk, caller, ids) if caller.may("services:read") else None
    orders = desk.orders.orders_of(ids, _SHOWN) if caller.may("orders:read") else None
    billing = caller.may("billing:read")
    invoices = desk.money.invoices_of(ids, _SHOWN) if billing else None
    payments = desk.money.payments_of(ids, _SHOWN) if billing else None
    return {
        "customer": customer,
        "address": desk.customers.address(customer.address_id) if customer.address_id else None,
        "accounts": accounts,
        "balances": desk.money.balances_minor(ids) if billing else None,
        "lines": lines,
        "orders": orders,
        "invoices": invoices,
        "payments": payments,
        "timeline": _timeline(accounts, lines or (), orders or (), invoices or (), payments or ()),
        "shown": _SHOWN,
    }


def _lines(desk: Desk, caller: Caller, accounts: Sequence[AccountId]) -> list[Line]:
    services = desk.services.services_of_accounts(accounts)
    ids = [service.id for service in services]
    products = desk.orders.products_of(accounts) if caller.may("products:read") else ()
    by_service = {product.service_id: product for product in products}
    sessions = desk.watch.last_sessions(ids)
    problems = desk.watch.open_problems_of(ids)
    held: Mapping[ServiceId, Reservation] = {}
    if caller.may("resources:read"):
        held = desk.network.reservations(ids)
    return [
        Line(
            service=service,
            state=state_of(service),
            product=by_service.get(service.id),
            session=sessions.get(service.id),
            problem=problems.get(service.id),
            held=held[service.id].resources if service.id in held else {},
            causes=why_offline(service, sessions.get(service.id), problems.get(service.id)),
        )
        for service in services
    ]


def _timeline(
    accounts: Sequence[AccountView],
    lines: Sequence[Line],
    orders: Sequence[OrderView],
    invoices: Sequence[InvoiceView],
    payments: Sequence[PaymentView],
) -> list[Happening]:
    """The latest first; what has a day only stands at its beginning."""
    found: list[Happening] = []
    for order in orders:
        link = f"/console/orders/{order.number}"
        found.append(Happening(at=order.created_at, what="order", text=f"{order.number} came in", href=link))
        if order.completed_at is not None:
            told = f"{order.number}: {order.state.value}"
            found.append(Happening(at=order.completed_at, what="order", text=told, href=link))
    for invoice in invoices:
        total = money(invoice.total_minor, invoice.currency)
        found.append(
            Happening(
                at=_morning(invoice.invoice_date),
                what="invoice",
                text=f"{invoice.number}, {total}, due {invoice.due_date}",
                href=f"/console/invoices/{invoice.number}",
                whole_day=True,
            )
        )
    for payment in payments:
        told = f"{money(payment.amount_minor, payment.currency)} by {payment.method}, {payment.reference}"
        found.append(Happening(at=_morning(payment.received_on), what="payment", text=told, whole_day=True))
    for line in lines:
        found += _of_service(line)
    return sorted(found, key=lambda each: each.at, reverse=True)[: 3 * _SHOWN]


def _of_service(line: Line) -> list[Happening]:
    service, session, problem = line.service, line.session, line.problem
    facts = [
        (service.configured_at, "configured on the network"),
        (service.first_online_at, "online for the first time"),
        (service.accepted_at, "accepted"),
        (session.started_at if session else None, f"session began on {session.nas}" if session else ""),
        (session.ended_at if session else None, _ended(session) if session else ""),
        (problem.opened_at if problem else None, f"outage: {problem.cause}" if problem else ""),
    ]
    return [
        Happening(at=at, what="service", text=f"{service.number}: {text}", href=f"#service-{service.number}")
        for at, text in facts
        if at is not None
    ]


def _ended(session: SessionView) -> str:
    told = meaning_of(session.cause)
    return f"session ended: {session.cause or 'no cause given'}" + (f" ({told})" if told else "")


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

"""One search box: what the text may be, asked of whoever knows that kind by an index."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console.desk import Desk
from turnup.console.rendering import money, show
from turnup.console.visibility import sees
from turnup.contracts.crm import AccountView, CustomerView
from turnup.contracts.provisioning import ServiceView
from turnup.kernel.ids import CustomerId, ServiceId
from turnup.runtime.auth import Caller, identified

_SHOWN = 20
_CHARS_MIN, _CHARS_MAX = 2, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One thing that was found: what it is, whose, how it is."""

    kind: str
    title: str
    about: str
    state: str
    href: str
    why: str = ""


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console", include_in_schema=False)

    @routes.get("/search")
    def search(request: Request, q: str = "") -> Response:
        caller = identified(request)
        hits = find(desk, caller, q)
        part = request.headers.get("hx-request") == "true"
        if len(hits) == 1 and not part and request.query_params.get("go"):
            return RedirectResponse(hits[0].href, 303)
        template = "search_hits.html" if part else "search.html"
        return show(request, template, caller=caller, hits=hits, q=q, shown=_SHOWN)

    return routes


def find(desk: Desk, caller: Caller, text: str) -> list[Hit]:
    """What it may be, as far as she may see it; exact hits first."""
    text = " ".join("".join(each if each.isprintable() else " " for each in text[:_CHARS_MAX]).split())
    if len(text) < _CHARS_MIN:
        return []
    hits = [*_by_number(desk, caller, text), *_services(desk, caller, text), *_customers(desk, caller, text)]
    return list({hit.href: hit for hit in reversed(hits)}.values())[::-1][:_SHOWN]


def _spellings(text: str) -> Sequence[str]:
    return list(dict.fromkeys((text, text.upper())))


def _by_number(desk: Desk, caller: Caller, text: str) -> Iterable[Hit]:
    if " " in text or not any(letter.isdigit() for letter in text):
        return
    for number in _spellings(text):
        if caller.may("crm:read"):
            yield from _customer_numbers(desk, caller, number)
        if caller.may("orders:read") and (order := desk.orders.order_by_number(number)):
            account = desk.customers.account(order.account_id)
            if sees(caller, account):
                yield Hit(
                    kind="order",
                    title=order.number,
                    about=_name(desk, caller, order.customer_id),
                    state=order.state.value,
                    href=f"/console/orders/{order.number}",
                )
        if caller.may("billing:read") and (invoice := desk.money.invoice_by_number(number)):
            account = desk.customers.account(invoice.account_id)
            if sees(caller, account):
                yield Hit(
                    kind="invoice",
                    title=invoice.number or number,
                    about=f"{_owner(desk, caller, account)} · {money(invoice.total_minor, invoice.currency)}",
                    state="settled" if invoice.open_minor <= 0 else "open",
                    href=f"/console/invoices/{invoice.number}",
                )


def _customer_numbers(desk: Desk, caller: Caller, number: str) -> Iterable[Hit]:
    customer = desk.customers.customer_by_number(number)
    if customer is not None and sees(caller, customer):
        yield _customer_hit(customer)
    account = desk.customers.account_by_number(number)
    if account is not None and sees(caller, account):
        owner = desk.customers.customer(account.customer_id)
        if owner is not None:
            yield Hit(
                kind="account",
                title=account.number,
                about=owner.name,
                state=owner.status,
                href=f"/console/customers/{owner.number}#account-{account.number}",
            )


def _services(desk: Desk, caller: Caller, text: str) -> list[Hit]:
    if " " in text or not caller.may("services:read"):
        return []
    found: dict[ServiceId, tuple[ServiceView, str]] = {}
    for spelling in _spellings(text):
        for service in (desk.services.service_by_number(spelling), desk.services.service_by_login(spelling)):
            if service is not None:
                found[service.id] = (service, "")
    if caller.may("resources:read"):
        reasons = _holders(desk, text)
        for service in desk.services.services(list(reasons)) if reasons else ():
            found.setdefault(service.id, (service, reasons[service.id]))
    return _service_hits(desk, caller, list(found.values()))


def _holders(desk: Desk, text: str) -> dict[ServiceId, str]:
    """Who has this address, ONT or circuit now, and how we know."""
    found: dict[ServiceId, str] = {}
    address = _address(text)
    if address is not None:
        for session in desk.watch.sessions_at(address):
            if session.service_id is not None:
                found[session.service_id] = f"online with {address}"
    for spelling in _spellings(address or text):
        for service_id in desk.network.services_holding(spelling):
            found.setdefault(service_id, f"holds {spelling}")
    return found


def _address(text: str) -> str | None:
    """As it is stored; None where it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return str(ipaddress.ip_network(text)) if "/" in text else None
    except ValueError:
        return None


def _service_hits(desk: Desk, caller: Caller, found: Sequence[tuple[ServiceView, str]]) -> list[Hit]:
    owners = desk.customers.customers([service.customer_id for service, _ in found]) if found else {}
    return [
        Hit(
            kind="service",
            title=service.number,
            about=f"{_shown_name(caller, owner)} · {service.login}",
            state=state_of(service),
            href=f"/console/customers/{owner.number}#service-{service.number}",
            why=why,
        )
        for service, why in found
        if (owner := owners.get(service.customer_id)) is not None and sees(caller, owner)
    ]


def state_of(service: ServiceView) -> str:
    """One word for agents: online or offline where the subscriber may use it, else what it is."""
    if service.state.value in ("configured", "online", "accepted") and service.facts.online is not None:
        return "online" if service.facts.online else "offline"
    return service.state.value


def _customers(desk: Desk, caller: Caller, text: str) -> list[Hit]:
    if not caller.may("crm:read"):
        return []
    # who is confined might see none of the first ones
    limit = _SHOWN if caller.realm is None else 10 * _SHOWN
    found = desk.customers.search_customers(text, limit)
    return [_customer_hit(customer) for customer in found if sees(caller, customer)]


def _customer_hit(customer: CustomerView) -> Hit:
    reached = " · ".join(each for each in (customer.number, customer.phone, customer.email) if each)
    return Hit(
        kind="customer",
        title=customer.name,
        about=reached,
        state=customer.status,
        href=f"/console/customers/{customer.number}",
    )


def _name(desk: Desk, caller: Caller, customer_id: CustomerId) -> str:
    return _shown_name(caller, desk.customers.customer(customer_id))


def _owner(desk: Desk, caller: Caller, account: AccountView | None) -> str:
    return _name(desk, caller, account.customer_id) if account else ""


def _shown_name(caller: Caller, customer: CustomerView | None) -> str:
    """Names are for those who may read crm."""
    if customer is None:
        return ""
    return customer.name if caller.may("crm:read") else customer.number

"""Puts one incoming record into the component it belongs to. Repeated, it changes nothing more."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from turnup.contracts import crm, orders
from turnup.contracts.crm import CustomerChange, CustomerView, NewAddress, NewCustomer
from turnup.contracts.orders import ItemAction, NewOrder, NewOrderItem, ProductStatus
from turnup.integration.mediation.model import Connector, Record, RecordKind
from turnup.integration.mediation.rules.documents import CHARACTERISTIC_PREFIX
from turnup.integration.mediation.rules.takeover import degrees
from turnup.integration.mediation.service.mediation import Mediation
from turnup.integration.mediation.workflows.rehearsal import unit_of
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ProductId
from turnup.runtime.component import Runtime
from turnup.runtime.unit_of_work import UnitOfWork

_ACTIONS: Mapping[str, tuple[ItemAction, ProductStatus | None]] = {
    "add": (ItemAction.ADD, None),
    "modify": (ItemAction.MODIFY, None),
    "delete": (ItemAction.DELETE, None),
    "suspend": (ItemAction.MODIFY, ProductStatus.SUSPENDED),
    "resume": (ItemAction.MODIFY, ProductStatus.ACTIVE),
}
_ADDRESS = ("street", "postcode", "city", "country")
ORIGIN = "import"
"""Of orders that a file places: automatic, so the brake counts what they suspend, cease or reconfigure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What it came to. `links`: (kind, external id, id) for the crosswalk. `difference`: fields that changed
    (or would), empty for none."""

    owner: UUID | None
    links: Sequence[tuple[str, str, UUID]] = ()
    difference: str = ""


class Applier:
    """Holds the Commands of crm and orders."""

    def __init__(
        self,
        runtime: Runtime,
        mediation: Mediation,
        *,
        customers: crm.Commands,
        customer_reads: crm.Reads,
        orders: orders.Commands,
        order_reads: orders.Reads,
        currency: str,
        language: str,
    ) -> None:
        self._runtime = runtime
        self._mediation = mediation
        self._customers = customers
        self._customer_reads = customer_reads
        self._orders = orders
        self._order_reads = order_reads
        self._currency = currency
        self._language = language

    def apply(self, connector: Connector, record: Record, file: str, *, rehearse: bool) -> Applied:
        """Apply it, or (rehearse) do the same and roll back. Raises InvalidInput, Conflict, NotFound with the
        canonical field at fault."""
        if connector.kind is RecordKind.CUSTOMERS:
            return self._customer(connector, record, rehearse=rehearse)
        return self._order(connector, record, file, rehearse=rehearse)

    def _unit(
        self, component: str, connector: Connector, *, rehearse: bool
    ) -> AbstractContextManager[UnitOfWork]:
        return unit_of(self._runtime, component, f"connector:{connector.name}", rehearse=rehearse)

    # --- customers ----------------------------------------------------------------------------------------

    def _customer(self, connector: Connector, record: Record, *, rehearse: bool) -> Applied:
        external_id = record.values["external_id"]
        known = self._mediation.internal_id(connector.system, "customer", external_id)
        if known is None:
            return self._new_customer(connector, record, external_id, rehearse=rehearse)
        view = self._customer_reads.customer(CustomerId(known))
        if view is None:
            raise Conflict(f"the customer {known} is gone", field="external_id")
        self._refuse_other_cycle(view, record)
        change = self._change(view, record.values)
        difference = ", ".join(change.fields)
        if difference:
            with self._unit("crm", connector, rehearse=rehearse) as unit:
                self._customers.change_customer(unit, view.id, change)
        return Applied(owner=known, difference=difference)

    def _new_customer(
        self, connector: Connector, record: Record, external_id: str, *, rehearse: bool
    ) -> Applied:
        values = record.values
        new = NewCustomer(
            name=values["name"],
            kind=values.get("kind", "individual"),
            email=values.get("email"),
            phone=values.get("phone"),
            language=values.get("language", self._language),
            address=NewAddress(
                street=values.get("street", "-"),
                postcode=values.get("postcode", "-"),
                city=values.get("city", "-"),
                country=values.get("country", "DE"),
                latitude=_degrees(values, "latitude"),
                longitude=_degrees(values, "longitude"),
            ),
            currency=self._currency,
            bill_cycle_day=_day(values) or 1,
            external_id=f"{connector.system}:{external_id}",
        )
        with self._unit("crm", connector, rehearse=rehearse) as unit:
            opened = self._customers.open_customer(unit, new)
        return Applied(
            owner=None if rehearse else opened.customer_id,
            links=[("customer", external_id, opened.customer_id)],
            difference="new",
        )

    def _refuse_other_cycle(self, view: CustomerView, record: Record) -> None:
        day = _day(record.values)
        accounts = self._customer_reads.accounts_of(view.id)
        if day is not None and accounts and accounts[0].bill_cycle_day != day:
            raise Conflict(
                f"the account is billed on day {accounts[0].bill_cycle_day}",
                field="bill_cycle_day",
                remedy="a running account keeps its bill cycle: correct the other system",
            )

    def _change(self, view: CustomerView, values: Mapping[str, str]) -> CustomerChange:
        """What differs from what we hold; what the file leaves empty is left as it is."""
        present: dict[str, str | None] = {
            name: getattr(view, name) for name in ("name", "email", "phone", "language")
        }
        if values.get("kind", view.kind) != view.kind:
            raise Conflict(
                f"the customer is an {view.kind}", field="kind", remedy="open another customer for it"
            )
        changed: dict[str, str] = {
            name: values[name] for name in present if name in values and values[name] != present[name]
        }
        address = None if view.address_id is None else self._customer_reads.address(view.address_id)
        lives = {name: getattr(address, name, "-") for name in _ADDRESS}
        wanted = {name: values.get(name, lives[name]) for name in _ADDRESS}
        moved = tuple(name for name in _ADDRESS if wanted[name] != lives[name])
        return CustomerChange(
            **changed,
            address=NewAddress(
                **wanted, latitude=_degrees(values, "latitude"), longitude=_degrees(values, "longitude")
            )
            if moved
            else None,
            fields=(*changed, *moved),
        )

    # --- orders -------------------------------------------------------------------------------------------

    def _order(self, connector: Connector, record: Record, file: str, *, rehearse: bool) -> Applied:
        values = record.values
        action, status = self._action(values)
        product = self._product(connector, values, action)
        account_id, customer_id, address_id = self._account(connector, values, product)
        characteristics = {
            name.removeprefix(CHARACTERISTIC_PREFIX): value
            for name, value in values.items()
            if name.startswith(CHARACTERISTIC_PREFIX)
        }
        within = f"{file}:" if connector.key_within == "file" else ""
        new = NewOrder(
            account_id=account_id,
            items=(
                NewOrderItem(
                    action=action,
                    offering=values.get("offering"),
                    product_id=product,
                    characteristics=characteristics,
                    target_status=status,
                ),
            ),
            address_id=address_id if action is ItemAction.ADD else None,
            site=values.get("site"),
            requested_start=_instant(values),
            external_id=record.key,
            idempotency_key=f"connector:{connector.name}:{within}{record.key}",
            reason=values.get("reason"),
            origin=ORIGIN,
        )
        with self._unit("orders", connector, rehearse=rehearse) as unit:
            order_id = self._orders.submit(unit, new)
        links: list[tuple[str, str, UUID]] = []
        if not rehearse:
            placed = self._order_reads.order(order_id)
            assert placed is not None  # it was committed just now
            links = [("order", f"{connector.name}:{within}{record.key}", order_id)]
            if action is ItemAction.ADD:
                links.append(("product", values["product"], placed.items[0].product_id))
        return Applied(owner=customer_id, links=links, difference=values["action"])

    @staticmethod
    def _action(values: Mapping[str, str]) -> tuple[ItemAction, ProductStatus | None]:
        if values["action"] not in _ACTIONS:
            raise InvalidInput(
                f"unknown action {values['action']!r}", field="action", remedy=f"one of {', '.join(_ACTIONS)}"
            )
        return _ACTIONS[values["action"]]

    def _product(
        self, connector: Connector, values: Mapping[str, str], action: ItemAction
    ) -> ProductId | None:
        known = self._mediation.internal_id(connector.system, "product", values["product"])
        if action is ItemAction.ADD and known is not None:  # told before an order is placed for nothing
            raise Conflict(
                f"{connector.system} has a product {values['product']!r} here already",
                field="product",
                remedy="an add names a product that is not there yet",
            )
        if action is ItemAction.ADD:
            return None
        if known is None:
            raise InvalidInput(
                f"{connector.system} has no product {values['product']!r} here",
                field="product",
                remedy="its add must come first, or the takeover of its customer",
            )
        return ProductId(known)

    def _account(
        self, connector: Connector, values: Mapping[str, str], product: ProductId | None
    ) -> tuple[AccountId, CustomerId, AddressId | None]:
        account = None
        if product is not None and (view := self._order_reads.product(product)) is not None:
            account = self._customer_reads.account(view.account_id)
        elif "account" in values:
            account = self._customer_reads.account_by_number(values["account"])
        elif "customer" in values:
            known = self._mediation.internal_id(connector.system, "customer", values["customer"])
            found = [] if known is None else self._customer_reads.accounts_of(CustomerId(known))
            account = found[0] if found else None
        if account is None:
            raise InvalidInput(
                "no such customer or account here",
                field="account" if "account" in values else "customer",
                remedy="its customer must come first; then replay the row",
            )
        customer = self._customer_reads.customer(account.customer_id)
        return account.id, account.customer_id, None if customer is None else customer.address_id


def _day(values: Mapping[str, str]) -> int | None:
    text = values.get("bill_cycle_day")
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 31:
        raise InvalidInput(f"{text!r} is no day of a month", field="bill_cycle_day", remedy="write 1 to 31")
    return int(text)


def _degrees(values: Mapping[str, str], name: str) -> Decimal | None:
    return degrees(values[name], name) if name in values else None


def _instant(values: Mapping[str, str]) -> datetime | None:
    if "requested_start" not in values:
        return None
    try:
        found = datetime.fromisoformat(values["requested_start"])
    except ValueError as error:
        raise InvalidInput(
            "is no date or instant", field="requested_start", remedy="write 2027-01-31, or use type: date"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)

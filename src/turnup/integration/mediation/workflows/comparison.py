"""The report of a takeover: what was sold against what elements have against what is billed, by service.

Reads only. An element that does not answer is unknown, not different.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnup.contracts import billing, configuration, inventory, orders, provisioning
from turnup.contracts.mediation import TakeoverLine
from turnup.contracts.provisioning import ServiceView
from turnup.integration.mediation.service.mediation import Mediation
from turnup.kernel.clock import Clock
from turnup.kernel.errors import TurnupError
from turnup.kernel.ids import AccountId, ElementId, ServiceId

_SPEEDS = ("down_kbps", "up_kbps")


@dataclass(slots=True)
class _OnElements:
    """What the elements of one service have. `unknown`: elements that did not answer."""

    speeds: set[str] = field(default_factory=set)
    differences: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Comparison:
    """Reads orders, provisioning, configuration (which asks the elements) and billing."""

    def __init__(
        self,
        mediation: Mediation,
        clock: Clock,
        *,
        sold: orders.Reads,
        services: provisioning.Reads,
        elements: configuration.Reads,
        network: inventory.Reads,
        bills: billing.Reads,
    ) -> None:
        self._mediation = mediation
        self._clock = clock
        self._sold = sold
        self._services = services
        self._elements = elements
        self._network = network
        self._bills = bills

    def report(self, system: str) -> Sequence[TakeoverLine]:
        """One line per running service of this system, by its external id there."""
        taken = self._mediation.taken_over(system)
        views = {view.id: view for view in self._services.services([ServiceId(each[1]) for each in taken])}
        products = {product.id: product for product in self._sold.products()}
        billed = {each.service_id: each for each in self._bills.billed_services()}
        found = self._on_elements(list(views.values()))
        previews: dict[AccountId, billing.InvoiceView | str | None] = {}
        lines = []
        for external_id, service_id, former in taken:
            view = views.get(ServiceId(service_id))
            product = products.get(view.product_id) if view is not None else None
            if view is None or product is None:
                continue
            if view.account_id not in previews:
                previews[view.account_id] = self._preview(view.account_id)
            lines.append(
                _line(
                    external_id,
                    view,
                    product,
                    found[view.id],
                    billed.get(view.id),
                    previews[view.account_id],
                    former,
                )
            )
        return lines

    def _preview(self, account_id: AccountId) -> "billing.InvoiceView | str | None":
        """The next bill, or why there can be none."""
        try:
            return self._bills.preview(account_id, self._clock.now().date())
        except TurnupError as error:
            return str(error)

    def _on_elements(self, views: Sequence[ServiceView]) -> Mapping[ServiceId, _OnElements]:
        found = {view.id: _OnElements() for view in views}
        by_element: dict[ElementId, list[ServiceId]] = {}
        for view in views:
            for element_id in view.elements.values():
                by_element.setdefault(element_id, []).append(view.id)
        for element_id, ids in by_element.items():
            element = self._network.element(element_id)
            code = element.code if element is not None else str(element_id)
            try:
                actual = self._elements.actual(element_id, ids)
                differences = self._elements.differences(element_id, ids)
            except TurnupError:
                for service_id in ids:
                    found[service_id].unknown.append(code)
                continue
            for service_id in ids:
                if service_id in actual:
                    found[service_id].speeds |= _speeds(actual[service_id].attributes)
            for each in differences:
                if each.service_id in found:
                    found[each.service_id].differences.append(f"{code}: {each.text}")
        return found


def _first_period(bill: billing.InvoiceView, service_id: ServiceId) -> int:
    """What the next bill charges for the first period of this service, discounts taken off, net."""
    mine = [line for line in bill.lines if line.kind == "recurring" and line.service_id == service_id]
    first = min((line.period_from for line in mine if line.period_from), default=None)
    return sum(line.net_minor for line in mine if line.period_from == first)


def _speeds(attributes: Mapping[str, str]) -> set[str]:
    values = [attributes.get(name) for name in _SPEEDS]
    return {"/".join(str(value) for value in values)} if all(values) else set()


def _line(
    external_id: str,
    view: ServiceView,
    product: orders.ProductView,
    on: _OnElements,
    billed: billing.BilledService | None,
    preview: "billing.InvoiceView | str | None",
    former: int | None,
) -> TakeoverLine:
    sold = "/".join(product.characteristics.get(name, "-") for name in _SPEEDS)
    device = None if on.unknown and not on.speeds else " and ".join(sorted(on.speeds))
    bill = preview if not isinstance(preview, str) else None
    monthly = None if bill is None else _first_period(bill, view.id)
    differs = [
        *(f"{code} does not answer" for code in on.unknown),
        *on.differences,
        *([f"sold {sold}, on elements {device}"] if device and device != sold else []),
        *([] if billed is not None else ["not billed"]),
        *([preview] if isinstance(preview, str) else []),
    ]
    if former is not None and monthly is not None and former != monthly:
        differs.append(f"first period {monthly}, former system {former} (minor units, net)")
    return TakeoverLine(
        external_id=external_id,
        service=view.number,
        account_id=str(view.account_id),
        offering=product.offering_code,
        management=view.management.value,
        sold_kbps=sold,
        device_kbps=device,
        device=None if on.unknown else "; ".join(on.differences),
        first_period_minor=monthly,
        former_monthly_minor=former,
        next_bill_date=None if bill is None else bill.invoice_date.isoformat(),
        next_bill_net_minor=None if bill is None else bill.net_minor,
        next_bill_total_minor=None if bill is None else bill.total_minor,
        currency=None if billed is None else billed.currency,
        differs="; ".join(differs),
    )

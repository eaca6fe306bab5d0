"""Verbs of orders, pure: check an order, settle its characteristics, price it, decide what may follow."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from turnup.bss.orders.model import TRANSITIONS, Item, Order, Product
from turnup.contracts.catalog import CharacteristicSpec, OfferingView, PriceView, TaskSpec, resources_needed
from turnup.contracts.orders import (
    Charge,
    FalloutChoice,
    ItemAction,
    NewOrder,
    NewOrderItem,
    OrderState,
    ProductStatus,
    RunningPromotion,
    charge_of,
)
from turnup.contracts.provisioning import Admission, Cause, CauseKind
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.kernel.ids import CancellationId, OrderId, OrderItemId, ServiceId, derived_id
from turnup.kernel.money import decimals

Value = str | int | bool


def cancellation_id(order_id: OrderId) -> CancellationId:
    """An order is cancelled once: the id follows from its own."""
    return CancellationId(derived_id("cancellation", order_id))


def content_hash(new: NewOrder) -> str:
    """Tells two orders under one idempotency key apart: equal content, equal hash."""
    text = json.dumps(asdict(new), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def settle(
    offering: OfferingView, chosen: Mapping[str, Value], present: Mapping[str, str], path: str
) -> dict[str, str]:
    """The product's characteristics as text: chosen over present over default, every one checked.

    `present` are those of the product before a modify: choices survive a change of plan, values fixed by
    the old plan do not. Raises InvalidInput with the path of the characteristic.
    """
    specs = {spec.name: spec for spec in offering.characteristics}
    for name in chosen:
        if name not in specs:
            raise InvalidInput(
                f"{offering.name} has no characteristic {name!r}",
                field=f"{path}.{name}",
                remedy=f"choose from: {', '.join(sorted(specs)) or 'none'}",
            )
    settled: dict[str, str] = {}
    for name, spec in specs.items():
        value = _chosen_value(spec, chosen, present, f"{path}.{name}")
        if value is not None:
            settled[name] = _as_text(value)
    return settled


def _chosen_value(
    spec: CharacteristicSpec, chosen: Mapping[str, Value], present: Mapping[str, str], path: str
) -> Value | None:
    if spec.name in chosen:
        if not spec.configurable:
            raise InvalidInput(
                f"{spec.name} is fixed by the offering", field=path, remedy="leave it out of the order"
            )
        value = _typed(spec, chosen[spec.name], path)
        if spec.allowed and value not in spec.allowed:
            raise InvalidInput(
                f"{value!r} is not allowed",
                field=path,
                remedy=f"choose from: {', '.join(map(str, spec.allowed))}",
            )
        return value
    if spec.configurable and spec.name in present:
        return present[spec.name]
    if spec.default is None and spec.mandatory:
        raise InvalidInput(f"{spec.name} is missing", field=path, remedy="add it to the order item")
    return spec.default


def _typed(spec: CharacteristicSpec, value: Value, path: str) -> Value:
    """The value in the characteristic's own type; text from forms and CSV is read as it."""
    text = _as_text(value).strip()
    if spec.kind == "boolean":
        if text.lower() in ("true", "yes", "1"):
            return True
        if text.lower() in ("false", "no", "0"):
            return False
        raise InvalidInput(f"{value!r} is not a boolean", field=path, remedy="write true or false")
    if spec.kind == "integer":
        try:
            return int(text)
        except ValueError as error:
            raise InvalidInput(
                f"{value!r} is not a whole number", field=path, remedy="write digits"
            ) from error
    return text


def _as_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def charges(offering: OfferingView, characteristics: Mapping[str, str], *, first: bool) -> tuple[Charge, ...]:
    """What is owed for this product: prices whose option is chosen; one-time prices with the sale only."""
    return tuple(
        charge_of(price, decimals(price.currency))
        for price in offering.prices
        if _applies(price, characteristics) and (first or price.kind != "one_time")
    )


def promotion_charge(charges: Sequence[Charge], promotion: RunningPromotion) -> Charge:
    """A promotion as a recurring charge below zero, taxed and billed as the dearest recurring one is, and
    never more than that. Raises InvalidInput where there is nothing to take it off."""
    recurring = [charge for charge in charges if charge.kind == "recurring" and charge.period_months == 1]
    if not recurring:
        raise InvalidInput(
            "the offering has no monthly price", field="promotion", remedy="leave the promotion out"
        )
    main = max(recurring, key=lambda charge: charge.amount_micro)
    amount_micro = promotion.amount_minor * 10**6
    if amount_micro > main.amount_micro:
        raise InvalidInput(
            "the promotion is higher than the price", field="promotion_amount", remedy="net, per month"
        )
    return replace(
        main,
        code="promotion",
        name=promotion.name,
        amount_micro=-amount_micro,
        cycles=promotion.cycles_left,
    )


def _applies(price: PriceView, characteristics: Mapping[str, str]) -> bool:
    return price.option is None or characteristics.get(price.option) == "true"


def needed_resources(
    offering: OfferingView, characteristics: Mapping[str, str]
) -> tuple[tuple[str, str | None, int | None], ...]:
    """(kind, pool, prefix length) of what the service must hold."""
    return tuple(
        (resource.kind, resource.pool, resource.prefix_length)
        for resource in resources_needed(offering.service, characteristics)
    )


def tasks_of(offering: OfferingView, action: ItemAction) -> tuple[TaskSpec, ...]:
    return tuple(task for task in offering.tasks if action.value in task.on_actions)


def check_item(item: NewOrderItem, path: str) -> None:
    """Shape only: what each action needs and must not have."""
    if item.action is ItemAction.ADD:
        if item.offering is None:
            raise InvalidInput(
                "an added item names what is sold",
                field=f"{path}.productOffering",
                remedy="add productOffering.id",
            )
        if item.product_id is not None:
            raise InvalidInput(
                "an added item has no product yet", field=f"{path}.product.id", remedy="use action modify"
            )
    elif item.product_id is None:
        raise InvalidInput(
            f"action {item.action} needs the product it is about",
            field=f"{path}.product.id",
            remedy="add product.id of a product of this account",
        )
    if item.target_status not in (None, ProductStatus.ACTIVE, ProductStatus.SUSPENDED):
        raise InvalidInput(
            f"a product cannot be ordered into status {item.target_status}",
            field=f"{path}.product.status",
            remedy="active resumes it, suspended suspends it; action delete ends it",
        )
    if item.target_status is not None and (item.offering or item.characteristics):
        raise InvalidInput(
            "a change of status cannot change the product as well",
            field=path,
            remedy="use two order items, or two orders",
        )


def check_product(product: Product, item: NewOrderItem, path: str) -> None:
    """Whether the product's status allows the action."""
    if product.status in (ProductStatus.TERMINATED, ProductStatus.CANCELLED):
        raise Conflict(
            f"the product is {product.status}", field=f"{path}.product.id", remedy="order a new one"
        )
    if product.status is ProductStatus.PENDING_ACTIVE:
        raise Conflict(
            "the product is still being delivered",
            field=f"{path}.product.id",
            remedy="wait for its order, or cancel that order",
        )


def admission_of(status: ProductStatus) -> Admission:
    return {
        ProductStatus.SUSPENDED: Admission.WALLED,
        ProductStatus.TERMINATED: Admission.NONE,
        ProductStatus.PENDING_TERMINATE: Admission.NONE,
        ProductStatus.CANCELLED: Admission.NONE,
    }.get(status, Admission.FULL)


def wanted_status(item: Item, present: ProductStatus) -> ProductStatus:
    """The product's status once the item is done."""
    if item.action is ItemAction.DELETE:
        return ProductStatus.TERMINATED
    if item.action is ItemAction.ADD:
        return ProductStatus.ACTIVE
    return item.target_status or present


_ONE_BY_ONE = frozenset({"api", "cli", "console", "portal"})
"""Origins of orders that a person, or the subscriber, places. Any other is automatic, unknown ones too."""


def request_key(order_id: OrderId) -> str:
    """Names to the brake all that an order wants to change."""
    return f"order:{order_id}"


def cause_of(order: Order) -> Cause:
    """Why an order changes a service."""
    text = order.reason or "ordered"
    if order.origin in _ONE_BY_ONE:
        return Cause(CauseKind.ASKED, request_key(order.id), text)
    kind = {"dunning": CauseKind.DUNNING, "import": CauseKind.IMPORT}.get(order.origin, CauseKind.BULK)
    return Cause(kind, request_key(order.id), text)


def undo_cause(order: Order) -> Cause:
    return Cause(CauseKind.UNDO, f"{request_key(order.id)}:undo", "order undone")


def wanted_changes(order: Order) -> dict[ServiceId, Admission | None]:
    """What an order wants of each service that is there already: an admission, or (None) a new design."""
    wanted: dict[ServiceId, Admission | None] = {}
    for item in order.items:
        if item.action is ItemAction.DELETE:
            wanted[item.service_id] = Admission.NONE
        elif item.action is ItemAction.MODIFY:
            status = item.target_status
            wanted[item.service_id] = None if status is None else admission_of(status)
    return wanted


def snapshot(product: Product, resources: Mapping[str, str]) -> dict[str, Any]:
    """What an undo needs to know of the product, and of what its service held."""
    return {
        "resources": dict(resources),
        "offering_id": str(product.offering_id),
        "offering_code": product.offering_code,
        "characteristics": dict(product.characteristics),
        "status": product.status.value,
    }


def move(present: OrderState, to: OrderState) -> OrderState:
    """The next state; raises Conflict where TMF622 has no such way."""
    if to is present:
        return to
    if to not in TRANSITIONS[present]:
        raise Conflict(
            f"an order that is {present} cannot become {to}",
            field="state",
            remedy="look at the order's timeline: it may have finished meanwhile",
        )
    return to


def end_of_undo(order: Order, ceased: Sequence[OrderItemId]) -> OrderState:
    """Cancelled; but what ceased a service is done: all of it completed, some of it partial."""
    undone = [item for item in order.items if item.id not in ceased]
    if not ceased:
        return OrderState.CANCELLED
    if all(item.action is ItemAction.NO_CHANGE for item in undone):
        return OrderState.COMPLETED
    return OrderState.PARTIAL


def choices(step: str) -> tuple[FalloutChoice, ...]:
    """What a person may do about an order that fell out in this step. Resources cannot be skipped: nothing
    can be configured without them; nor the end, which agrees on the prices."""
    if step == "undo":
        return (FalloutChoice.UNDO,)
    if step in ("reserve", "complete"):
        return (FalloutChoice.RETRY, FalloutChoice.EDIT, FalloutChoice.UNDO)
    return (FalloutChoice.RETRY, FalloutChoice.EDIT, FalloutChoice.UNDO, FalloutChoice.SKIP)

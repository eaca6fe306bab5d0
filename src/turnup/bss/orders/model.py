"""Nouns of orders: an order with its items, the products sold, tasks; and which state may follow which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from turnup.contracts.orders import ItemAction, OrderState, ProductStatus
from turnup.kernel.ids import (
    AccountId,
    AddressId,
    CustomerId,
    OfferingId,
    OrderId,
    OrderItemId,
    ProductId,
    ServiceId,
)

TERMINAL = frozenset(
    {OrderState.REJECTED, OrderState.CANCELLED, OrderState.COMPLETED, OrderState.FAILED, OrderState.PARTIAL}
)

TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    OrderState.ACKNOWLEDGED: frozenset(
        {OrderState.IN_PROGRESS, OrderState.PENDING, OrderState.HELD, OrderState.CANCELLED}
    ),
    OrderState.PENDING: frozenset({OrderState.IN_PROGRESS, OrderState.CANCELLED, OrderState.HELD}),
    OrderState.IN_PROGRESS: frozenset(
        {
            OrderState.COMPLETED,
            OrderState.HELD,
            OrderState.PENDING,
            OrderState.FAILED,
            OrderState.PENDING_CANCELLATION,
            OrderState.CANCELLED,
        }
    ),
    OrderState.HELD: frozenset(
        {OrderState.IN_PROGRESS, OrderState.FAILED, OrderState.PENDING_CANCELLATION, OrderState.CANCELLED}
    ),
    OrderState.PENDING_CANCELLATION: frozenset(
        {OrderState.CANCELLED, OrderState.HELD, OrderState.COMPLETED, OrderState.PARTIAL}
    ),
    **dict.fromkeys(TERMINAL, frozenset()),
}
"""TMF622 states as used here. `held` is the fall-out queue, `pending` waits for a date or a human task.
What ceased before its order was cancelled stays so: completed, or partial where other items went back."""


CANCELLATION_STATES: Mapping[OrderState, str] = {
    **dict.fromkeys(OrderState, "acknowledged"),
    **dict.fromkeys(TERMINAL, "terminatedWithError"),
    OrderState.PENDING_CANCELLATION: "inProgress",
    OrderState.HELD: "inProgress",
    OrderState.CANCELLED: "done",
}
"""What a cancellation is in (TMF622's TaskStateType), by the state its order is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product sold. `revision` counts its price agreements."""

    id: ProductId
    service_id: ServiceId
    customer_id: CustomerId
    account_id: AccountId
    address_id: AddressId | None
    site: str | None
    offering_id: OfferingId
    offering_code: str
    name: str
    status: ProductStatus
    characteristics: Mapping[str, str]
    start: datetime | None
    end: datetime | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One order item with everything its steps need; `before` is what an undo goes back to."""

    id: OrderItemId
    n: int
    action: ItemAction
    product_id: ProductId
    service_id: ServiceId
    offering_id: OfferingId
    offering_code: str
    characteristics: Mapping[str, str]
    target_status: ProductStatus | None
    state: OrderState
    before: Mapping[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    id: OrderId
    number: str
    state: OrderState
    customer_id: CustomerId
    account_id: AccountId
    address_id: AddressId | None
    site: str | None
    requested_start: datetime | None
    reason: str | None
    origin: str
    attempt: int
    running: bool
    cancel_requested: bool
    skipped: tuple[str, ...]
    created_at: datetime
    completed_at: datetime | None
    error: str | None
    items: tuple[Item, ...]


class ParkedFor(StrEnum):
    """What an order waits for by itself."""

    BRAKE = "brake"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An order that stopped in its `attempt` and goes on when what it waits for is over. `n` rises with
    time."""

    n: int = 0
    order_id: OrderId
    attempt: int
    why: ParkedFor
    detail: str
    since: datetime

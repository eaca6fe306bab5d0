"""What others may know of orders: product orders (TMF622), products sold (TMF637), tasks, fall-out."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol

from turnup.contracts.catalog import PriceView
from turnup.contracts.unit import Event, Unit
from turnup.kernel.ids import (
    AccountId,
    AddressId,
    CancellationId,
    CustomerId,
    OfferingId,
    OrderId,
    OrderItemId,
    ProductId,
    ServiceId,
    TaskId,
)


class OrderState(StrEnum):
    """TMF622 states."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    PENDING = "pending"
    HELD = "held"
    IN_PROGRESS = "inProgress"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"
    ASSESSING_CANCELLATION = "assessingCancellation"
    PENDING_CANCELLATION = "pendingCancellation"


class ItemAction(StrEnum):
    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"
    NO_CHANGE = "noChange"


class ProductStatus(StrEnum):
    """TMF637 states used here."""

    PENDING_ACTIVE = "pendingActive"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    PENDING_TERMINATE = "pendingTerminate"
    TERMINATED = "terminated"
    CANCELLED = "cancelled"


class FalloutChoice(StrEnum):
    RETRY = "retry"
    EDIT = "edit"
    UNDO = "undo"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrderItem:
    """add: offering and characteristics; modify: product and what changes (offering, characteristics or
    `target_status` suspended/active); delete: product."""

    action: ItemAction
    offering: str | None = None
    product_id: ProductId | None = None
    characteristics: Mapping[str, str | int | bool] = field(default_factory=dict)
    target_status: ProductStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    account_id: AccountId
    items: tuple[NewOrderItem, ...]
    address_id: AddressId | None = None
    site: str | None = None
    """Serving POP, when the address does not tell."""
    requested_start: datetime | None = None
    external_id: str | None = None
    idempotency_key: str | None = None
    reason: str | None = None
    origin: str = "api"
    """api | cli | dunning | import | …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One line of the order's timeline. `device_ms` is the part spent waiting for network elements."""

    name: str
    attempt: int
    started_at: datetime
    ms: float
    device_ms: float
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItemView:
    id: OrderItemId
    action: ItemAction
    product_id: ProductId
    service_id: ServiceId
    offering_code: str | None
    state: OrderState


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    id: OrderId
    number: str
    state: OrderState
    customer_id: CustomerId
    account_id: AccountId
    items: tuple[OrderItemView, ...]
    steps: tuple[StepView, ...]
    requested_start: datetime | None
    created_at: datetime
    completed_at: datetime | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductView:
    id: ProductId
    service_id: ServiceId
    customer_id: CustomerId
    account_id: AccountId
    offering_id: OfferingId
    offering_code: str
    name: str
    status: ProductStatus
    characteristics: Mapping[str, str]
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FalloutView:
    """An order that stopped: what failed, what it means, what can be done."""

    order_id: OrderId
    order_number: str
    step: str
    reason: str
    since: datetime
    choices: tuple[FalloutChoice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationView:
    """Somebody's wish that an order be cancelled, and what became of it; an order has one at the most."""

    id: CancellationId
    order_id: OrderId
    reason: str
    created_at: datetime
    state: str
    """TMF622 TaskStateType: acknowledged (not begun) | inProgress | done | terminatedWithError (it came too
    late for all of the order or a part)."""
    effective_at: datetime | None
    """When the order was cancelled; only when done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    id: TaskId
    order_id: OrderId
    code: str
    name: str
    blocks: str
    state: str
    """open | done | cancelled"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPromotion:
    """A discount that a former system has promised: so much off the recurring price, for so many more bill
    cycles, counted from where that system stopped billing."""

    name: str
    amount_minor: int
    """Net per cycle, > 0."""
    cycles_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedProduct:
    """A product that runs already (import): recorded as sold, nothing is sent to the network."""

    account_id: AccountId
    address_id: AddressId | None
    offering: str
    characteristics: Mapping[str, str | int | bool]
    service_id: ServiceId
    product_id: ProductId
    started_at: datetime
    status: ProductStatus = ProductStatus.ACTIVE
    promotion: RunningPromotion | None = None


class Reads(Protocol):
    def order(self, order_id: OrderId) -> OrderView | None: ...
    def order_by_number(self, number: str) -> OrderView | None: ...
    def orders_of(self, account_ids: Sequence[AccountId], limit: int) -> Sequence[OrderView]:
        """Of these accounts, the newest first."""
        ...

    def product(self, product_id: ProductId) -> ProductView | None: ...
    def products_of(self, account_ids: Sequence[AccountId]) -> Sequence[ProductView]: ...
    def products(self, account_id: AccountId | None = None) -> Sequence[ProductView]: ...
    def products_in_flight(self) -> Set[ProductId]:
        """The products that an order which is not over (fallen out ones included) is about."""
        ...

    def cancellation(self, cancellation_id: CancellationId) -> CancellationView | None: ...
    def fallout(self) -> Sequence[FalloutView]: ...
    def fallout_of(self, order_id: OrderId) -> FalloutView | None:
        """Where the order has stopped; None: it has not."""
        ...

    def tasks(self, order_id: OrderId | None = None) -> Sequence[TaskView]: ...


class Commands(Protocol):
    def submit(self, unit: Unit, new: NewOrder) -> OrderId:
        """Validate, decompose, acknowledge and start. Idempotent by idempotency key (same key, same order;
        same key with another content raises Conflict)."""
        ...

    def cancel(self, unit: Unit, order_id: OrderId, reason: str) -> None:
        """Cancel in flight: what was done is undone; a completed order raises Conflict. Repeated, it is the
        same cancellation, with the first one's reason."""
        ...

    def resolve_fallout(
        self,
        unit: Unit,
        order_id: OrderId,
        choice: FalloutChoice,
        reason: str,
        edits: Mapping[str, str] | None = None,
    ) -> None: ...

    def complete_task(self, unit: Unit, task_id: TaskId, facts: Mapping[str, str]) -> None:
        """A human task is done; facts may carry the ONT's serial."""
        ...

    def adopt(self, unit: Unit, adopted: AdoptedProduct) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStateChanged(Event):
    """An order reached another TMF622 state."""

    aggregate: ClassVar[str] = "order_id"
    order_id: OrderId
    account_id: AccountId
    state: OrderState
    at: datetime
    origin: str = "api"
    """Where the order came from: api | cli | dunning | …; dunning tells the customer itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One price that was agreed, frozen as it was when agreed. `amount_micro`: minor units x 10^6."""

    code: str
    name: str
    kind: str
    amount_micro: int
    currency: str
    tax_category: str
    period_months: int | None
    in_advance: bool
    unit: str | None
    included_micro: int
    """Free units x 10^6 per bill period."""
    cycles: int | None = None
    """Recurring only: owed for so many bill cycles from the start of the agreement, then no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceAgreed(Event):
    """What the customer owes for this product from now on: replaces the product's former agreement from
    `effective_at` (None: from the moment billing starts by `billing_start`). Empty charges end it."""

    aggregate: ClassVar[str] = "product_id"
    product_id: ProductId
    service_id: ServiceId
    account_id: AccountId
    offering_code: str
    offering_name: str
    charges: tuple[Charge, ...]
    billing_start: str
    credit_policy: str
    effective_at: datetime | None
    revision: int
    """1 for the sale, rising with every change."""
    adopted: bool = False
    """Taken over from a former system: no one-time charges, nothing before billed-through."""


def charge_of(price: PriceView, minor_digits: int) -> Charge:
    """Freeze a catalog price into a charge; amounts become integers (minor units x 10^6)."""
    scale = 10 ** (minor_digits + 6)
    return Charge(
        code=price.code,
        name=price.name,
        kind=price.kind,
        amount_micro=int(price.amount * scale),
        currency=price.currency,
        tax_category=price.tax_category,
        period_months=price.period_months,
        in_advance=price.in_advance,
        unit=price.unit,
        included_micro=int(price.included * 10**6),
    )

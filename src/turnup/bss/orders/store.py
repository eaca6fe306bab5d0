"""The SQL of orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from turnup.bss.orders import tables
from turnup.bss.orders.model import CANCELLATION_STATES, TERMINAL, Item, Order, Parked, ParkedFor, Product
from turnup.contracts.orders import (
    CancellationView,
    FalloutView,
    ItemAction,
    OrderItemView,
    OrderState,
    OrderView,
    ProductStatus,
    ProductView,
    StepView,
    TaskView,
)
from turnup.kernel.ids import (
    AccountId,
    AddressId,
    BrandId,
    CancellationId,
    CustomerId,
    LegalEntityId,
    OfferingId,
    OrderId,
    OrderItemId,
    ProductId,
    ServiceId,
    TaskId,
)
from turnup.runtime.rows import Listing, Rows, Wanted

_terminal = [state.value for state in TERMINAL]


# --- orders ----------------------------------------------------------------------------------------------


def next_number(connection: Connection) -> str:
    return f"O-{connection.scalar(select(func.nextval('orders.order_number')))}"


def by_idempotency_key(connection: Connection, key: str) -> tuple[OrderId, str] | None:
    """(order, content hash) of the order already made under this key; of two requests at once, one waits."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 716))"), {"key": key})
    row = connection.execute(
        select(tables.product_order.c.order_id, tables.product_order.c.content_hash).where(
            tables.product_order.c.idempotency_key == key
        )
    ).first()
    return None if row is None else (OrderId(row.order_id), row.content_hash)


def add_order(
    connection: Connection,
    order: Order,
    *,
    legal_entity_id: LegalEntityId,
    brand_id: BrandId,
    external_id: str | None,
    idempotency_key: str | None,
    content_hash: str,
) -> None:
    connection.execute(
        insert(tables.product_order).values(
            order_id=order.id,
            number=order.number,
            state=order.state.value,
            customer_id=order.customer_id,
            account_id=order.account_id,
            legal_entity_id=legal_entity_id,
            brand_id=brand_id,
            address_id=order.address_id,
            site=order.site,
            requested_start=order.requested_start,
            external_id=external_id,
            idempotency_key=idempotency_key,
            content_hash=content_hash,
            reason=order.reason,
            origin=order.origin,
            attempt=order.attempt,
            running=order.running,
            created_at=order.created_at,
        )
    )
    connection.execute(
        insert(tables.item),
        [
            {
                "item_id": item.id,
                "order_id": order.id,
                "n": item.n,
                "action": item.action.value,
                "product_id": item.product_id,
                "service_id": item.service_id,
                "offering_id": item.offering_id,
                "offering_code": item.offering_code,
                "characteristics": dict(item.characteristics),
                "target_status": item.target_status.value if item.target_status else None,
                "state": item.state.value,
                "before": item.before,
            }
            for item in order.items
        ],
    )


def load_order(connection: Connection, order_id: OrderId, *, lock: bool = False) -> Order | None:
    statement = select(tables.product_order).where(tables.product_order.c.order_id == order_id)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    if row is None:
        return None
    items = connection.execute(
        select(tables.item).where(tables.item.c.order_id == order_id).order_by(tables.item.c.n)
    )
    return Order(
        id=OrderId(row.order_id),
        number=row.number,
        state=OrderState(row.state),
        customer_id=CustomerId(row.customer_id),
        account_id=AccountId(row.account_id),
        address_id=None if row.address_id is None else AddressId(row.address_id),
        site=row.site,
        requested_start=row.requested_start,
        reason=row.reason,
        origin=row.origin,
        attempt=row.attempt,
        running=row.running,
        cancel_requested=row.cancel_requested,
        skipped=tuple(row.skipped),
        created_at=row.created_at,
        completed_at=row.completed_at,
        error=row.error,
        items=tuple(_item(item) for item in items),
    )


def _item(row: Any) -> Item:
    return Item(
        id=OrderItemId(row.item_id),
        n=row.n,
        action=ItemAction(row.action),
        product_id=ProductId(row.product_id),
        service_id=ServiceId(row.service_id),
        offering_id=OfferingId(row.offering_id),
        offering_code=row.offering_code,
        characteristics=row.characteristics,
        target_status=ProductStatus(row.target_status) if row.target_status else None,
        state=OrderState(row.state),
        before=row.before,
    )


def save_order(connection: Connection, order: Order) -> None:
    """The order's own changeable columns; every item takes the order's state."""
    connection.execute(
        update(tables.product_order)
        .where(tables.product_order.c.order_id == order.id)
        .values(
            state=order.state.value,
            site=order.site,
            attempt=order.attempt,
            running=order.running,
            cancel_requested=order.cancel_requested,
            skipped=list(order.skipped),
            completed_at=order.completed_at,
            error=order.error,
        )
    )
    connection.execute(
        update(tables.item).where(tables.item.c.order_id == order.id).values(state=order.state.value)
    )


def save_item_characteristics(
    connection: Connection, item_id: OrderItemId, characteristics: Mapping[str, str]
) -> None:
    connection.execute(
        update(tables.item)
        .where(tables.item.c.item_id == item_id)
        .values(characteristics=dict(characteristics))
    )


def due_orders(connection: Connection, now: datetime, limit: int) -> list[OrderId]:
    """Orders whose requested start has come and that nobody has started."""
    rows = connection.execute(
        select(tables.product_order.c.order_id)
        .where(
            tables.product_order.c.state == OrderState.ACKNOWLEDGED.value,
            tables.product_order.c.requested_start <= now,
            ~tables.product_order.c.running,
        )
        .order_by(tables.product_order.c.requested_start)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [OrderId(row.order_id) for row in rows]


def add_steps(connection: Connection, order_id: OrderId, attempt: int, steps: Sequence[StepView]) -> None:
    if not steps:
        return
    connection.execute(
        insert(tables.step),
        [
            {
                "order_id": order_id,
                "attempt": attempt,
                "name": step.name,
                "started_at": step.started_at,
                "ms": step.ms,
                "device_ms": step.device_ms,
                "ok": step.ok,
                "detail": step.detail,
            }
            for step in steps
        ],
    )


def order_view(connection: Connection, **where: object) -> OrderView | None:
    name, value = next(iter(where.items()))
    row = connection.execute(
        select(tables.product_order).where(tables.product_order.c[name] == value)
    ).first()
    if row is None:
        return None
    return order_views(connection, [row])[0]


def order_page(
    connection: Connection,
    *,
    account_id: AccountId | None,
    states: Sequence[str],
    offset: int,
    limit: int,
) -> list[OrderView]:
    """Newest first, in an order that does not change from page to page."""
    order = tables.product_order.c
    statement = (
        select(tables.product_order)
        .where(*_asked_for(account_id, states))
        .order_by(order.created_at.desc(), order.order_id.desc())
        .offset(offset)
        .limit(limit)
    )
    return order_views(connection, list(connection.execute(statement)))


_ORDERS = Listing(
    {
        "id": tables.product_order.c.order_id,
        "number": tables.product_order.c.number,
        "state": tables.product_order.c.state,
        "account": tables.product_order.c.account_id,
        "customer": tables.product_order.c.customer_id,
        "created_at": tables.product_order.c.created_at,
        "completed_at": tables.product_order.c.completed_at,
        "requested_start": tables.product_order.c.requested_start,
    },
    identity="id",
    sortable=["created_at", "number", "state"],
)


def order_rows(connection: Connection, wanted: Wanted) -> Rows[OrderView]:
    """A page of the orders, for lists."""
    statement = select(tables.product_order)
    return _ORDERS.rows(connection, statement, wanted, lambda rows: order_views(connection, rows))


def orders_of(connection: Connection, accounts: Sequence[AccountId], limit: int) -> list[OrderView]:
    """Newest first."""
    order = tables.product_order.c
    statement = (
        select(tables.product_order)
        .where(order.account_id.in_(accounts))
        .order_by(order.created_at.desc(), order.order_id.desc())
        .limit(limit)
    )
    return order_views(connection, list(connection.execute(statement)))


def count_orders(connection: Connection, *, account_id: AccountId | None, states: Sequence[str]) -> int:
    statement = select(func.count()).select_from(tables.product_order)
    return connection.scalar(statement.where(*_asked_for(account_id, states))) or 0


def _asked_for(account_id: AccountId | None, states: Sequence[str]) -> list[ColumnElement[bool]]:
    order = tables.product_order.c
    conditions = [] if account_id is None else [order.account_id == account_id]
    return [*conditions, order.state.in_(states)] if states else conditions


def order_views(connection: Connection, rows: Sequence[Any]) -> list[OrderView]:
    ids = [row.order_id for row in rows]
    items: dict[Any, list[OrderItemView]] = {order_id: [] for order_id in ids}
    for item in connection.execute(
        select(tables.item).where(tables.item.c.order_id.in_(ids)).order_by(tables.item.c.n)
    ):
        items[item.order_id].append(
            OrderItemView(
                id=OrderItemId(item.item_id),
                action=ItemAction(item.action),
                product_id=ProductId(item.product_id),
                service_id=ServiceId(item.service_id),
                offering_code=item.offering_code,
                state=OrderState(item.state),
            )
        )
    steps: dict[Any, list[StepView]] = {order_id: [] for order_id in ids}
    for step in connection.execute(
        select(tables.step).where(tables.step.c.order_id.in_(ids)).order_by(tables.step.c.step_id)
    ):
        steps[step.order_id].append(
            StepView(
                name=step.name,
                attempt=step.attempt,
                started_at=step.started_at,
                ms=step.ms,
                device_ms=step.device_ms,
                ok=step.ok,
                detail=step.detail,
            )
        )
    return [
        OrderView(
            id=OrderId(row.order_id),
            number=row.number,
            state=OrderState(row.state),
            customer_id=CustomerId(row.customer_id),
            account_id=AccountId(row.account_id),
            items=tuple(items[row.order_id]),
            steps=tuple(steps[row.order_id]),
            requested_start=row.requested_start,
            created_at=row.created_at,
            completed_at=row.completed_at,
            error=row.error,
        )
        for row in rows
    ]


# --- cancellations ---------------------------------------------------------------------------------------


def add_cancellation(
    connection: Connection, cancellation_id: CancellationId, order_id: OrderId, reason: str, now: datetime
) -> None:
    """The first one stands."""
    statement = upsert(tables.cancellation).values(
        cancellation_id=cancellation_id, order_id=order_id, reason=reason, created_at=now
    )
    connection.execute(statement.on_conflict_do_nothing())


_CANCELLATIONS = Listing(
    {
        "id": tables.cancellation.c.cancellation_id,
        "order": tables.cancellation.c.order_id,
        "created_at": tables.cancellation.c.created_at,
    },
    identity="id",
    sortable=["created_at"],
)


def cancellation(connection: Connection, cancellation_id: CancellationId) -> CancellationView | None:
    found = tables.cancellation.c.cancellation_id
    row = connection.execute(_cancellations().where(found == cancellation_id)).one_or_none()
    return None if row is None else _cancellation(row)


def cancellation_rows(connection: Connection, wanted: Wanted) -> Rows[CancellationView]:
    """A page of the cancellations, for lists."""
    return _CANCELLATIONS.rows(
        connection, _cancellations(), wanted, lambda rows: [_cancellation(row) for row in rows]
    )


def _cancellations() -> Select[Any]:
    found, order = tables.cancellation.c, tables.product_order.c
    return select(tables.cancellation, order.state, order.completed_at).join(
        tables.product_order, order.order_id == found.order_id
    )


def _cancellation(row: Any) -> CancellationView:
    state = OrderState(row.state)
    return CancellationView(
        id=CancellationId(row.cancellation_id),
        order_id=OrderId(row.order_id),
        reason=row.reason,
        created_at=row.created_at,
        state=CANCELLATION_STATES[state],
        effective_at=row.completed_at if state is OrderState.CANCELLED else None,
    )


# --- products --------------------------------------------------------------------------------------------


def load_product(connection: Connection, product_id: ProductId, *, lock: bool = False) -> Product | None:
    statement = select(tables.product).where(tables.product.c.product_id == product_id)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _product(row)


_PRODUCTS = Listing(
    {
        "id": tables.product.c.product_id,
        "name": tables.product.c.name,
        "status": tables.product.c.status,
        "account": tables.product.c.account_id,
        "customer": tables.product.c.customer_id,
        "service": tables.product.c.service_id,
        "offering": tables.product.c.offering_code,
        "start_at": tables.product.c.start_at,
        "end_at": tables.product.c.end_at,
    },
    identity="id",
    sortable=["name", "status"],
)


def product_rows(connection: Connection, wanted: Wanted) -> Rows[ProductView]:
    """A page of the products, for lists."""
    statement = select(tables.product)
    return _PRODUCTS.rows(
        connection, statement, wanted, lambda rows: [product_view(_product(row)) for row in rows]
    )


def products(connection: Connection, account_id: AccountId | None) -> list[Product]:
    statement = select(tables.product).order_by(tables.product.c.product_id)
    if account_id is not None:
        statement = statement.where(tables.product.c.account_id == account_id)
    return [_product(row) for row in connection.execute(statement)]


def _product(row: Any) -> Product:
    return Product(
        id=ProductId(row.product_id),
        service_id=ServiceId(row.service_id),
        customer_id=CustomerId(row.customer_id),
        account_id=AccountId(row.account_id),
        address_id=None if row.address_id is None else AddressId(row.address_id),
        site=row.site,
        offering_id=OfferingId(row.offering_id),
        offering_code=row.offering_code,
        name=row.name,
        status=ProductStatus(row.status),
        characteristics=row.characteristics,
        start=row.start_at,
        end=row.end_at,
        revision=row.revision,
    )


def products_of(connection: Connection, accounts: Sequence[AccountId]) -> list[Product]:
    statement = select(tables.product).where(tables.product.c.account_id.in_(accounts))
    return [_product(row) for row in connection.execute(statement.order_by(tables.product.c.product_id))]


def save_product(connection: Connection, product: Product) -> None:
    values = {
        "service_id": product.service_id,
        "customer_id": product.customer_id,
        "account_id": product.account_id,
        "address_id": product.address_id,
        "site": product.site,
        "offering_id": product.offering_id,
        "offering_code": product.offering_code,
        "name": product.name,
        "status": product.status.value,
        "characteristics": dict(product.characteristics),
        "start_at": product.start,
        "end_at": product.end,
        "revision": product.revision,
    }
    statement = upsert(tables.product).values(product_id=product.id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["product_id"], set_=values))


def product_view(product: Product) -> ProductView:
    return ProductView(
        id=product.id,
        service_id=product.service_id,
        customer_id=product.customer_id,
        account_id=product.account_id,
        offering_id=product.offering_id,
        offering_code=product.offering_code,
        name=product.name,
        status=product.status,
        characteristics=product.characteristics,
        start=product.start,
        end=product.end,
    )


# --- tasks and fall-out ----------------------------------------------------------------------------------


def add_task(
    connection: Connection,
    task_id: TaskId,
    order_id: OrderId,
    item_id: OrderItemId,
    code: str,
    name: str,
    blocks: str,
) -> None:
    connection.execute(
        insert(tables.task).values(
            task_id=task_id,
            order_id=order_id,
            item_id=item_id,
            code=code,
            name=name,
            blocks=blocks,
            state="open",
        )
    )


def tasks(
    connection: Connection, *, order_id: OrderId | None = None, open_only: bool = False
) -> list[TaskView]:
    statement = select(tables.task).order_by(tables.task.c.task_id)
    if order_id is not None:
        statement = statement.where(tables.task.c.order_id == order_id)
    if open_only:
        statement = statement.where(tables.task.c.state == "open")
    return [_task(row) for row in connection.execute(statement)]


def load_task(connection: Connection, task_id: TaskId) -> tuple[TaskView, OrderItemId] | None:
    row = connection.execute(
        select(tables.task).where(tables.task.c.task_id == task_id).with_for_update()
    ).first()
    return None if row is None else (_task(row), OrderItemId(row.item_id))


def _task(row: Any) -> TaskView:
    return TaskView(
        id=TaskId(row.task_id),
        order_id=OrderId(row.order_id),
        code=row.code,
        name=row.name,
        blocks=row.blocks,
        state=row.state,
    )


def task_facts(connection: Connection, order_id: OrderId) -> dict[str, str]:
    facts: dict[str, str] = {}
    for row in connection.execute(select(tables.task.c.facts).where(tables.task.c.order_id == order_id)):
        facts.update(row.facts)
    return facts


def finish_task(
    connection: Connection, task_id: TaskId, state: str, facts: Mapping[str, str], now: datetime
) -> None:
    connection.execute(
        update(tables.task)
        .where(tables.task.c.task_id == task_id)
        .values(state=state, facts=dict(facts), done_at=now)
    )


def cancel_tasks(connection: Connection, order_id: OrderId) -> None:
    connection.execute(
        update(tables.task)
        .where(tables.task.c.order_id == order_id, tables.task.c.state == "open")
        .values(state="cancelled")
    )


def set_fallout(connection: Connection, order_id: OrderId, step: str, reason: str, now: datetime) -> None:
    values = {
        "step": step,
        "reason": reason,
        "since": now,
        "resolved_at": None,
        "choice": None,
        "resolved_by": None,
        "why": None,
    }
    statement = upsert(tables.fallout).values(order_id=order_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["order_id"], set_=values))


def fallout_step(connection: Connection, order_id: OrderId) -> str | None:
    """The step an unresolved fall-out stopped in."""
    found: str | None = connection.scalar(
        select(tables.fallout.c.step).where(
            tables.fallout.c.order_id == order_id, tables.fallout.c.resolved_at.is_(None)
        )
    )
    return found


def resolve_fallout(
    connection: Connection, order_id: OrderId, choice: str, by: str, why: str, now: datetime
) -> None:
    connection.execute(
        update(tables.fallout)
        .where(tables.fallout.c.order_id == order_id)
        .values(resolved_at=now, choice=choice, resolved_by=by, why=why)
    )


def open_fallout(connection: Connection, order_id: OrderId | None = None) -> list[FalloutView]:
    """Of this order or of all."""
    statement = (
        select(tables.fallout, tables.product_order.c.number)
        .join(tables.product_order, tables.product_order.c.order_id == tables.fallout.c.order_id)
        .where(tables.fallout.c.resolved_at.is_(None))
        .order_by(tables.fallout.c.since)
    )
    if order_id is not None:
        statement = statement.where(tables.fallout.c.order_id == order_id)
    rows = connection.execute(statement)
    return [
        FalloutView(
            order_id=OrderId(row.order_id),
            order_number=row.number,
            step=row.step,
            reason=row.reason,
            since=row.since,
            choices=(),
        )
        for row in rows
    ]


def open_order_of(connection: Connection, product_id: ProductId) -> str | None:
    """Number of the open order about this product, if any."""
    found: str | None = connection.scalar(
        select(tables.product_order.c.number)
        .join(tables.item, tables.item.c.order_id == tables.product_order.c.order_id)
        .where(tables.item.c.product_id == product_id, tables.item.c.state.not_in(_terminal))
    )
    return found


def products_in_flight(connection: Connection) -> set[ProductId]:
    """The products that orders which are not over are about."""
    found = connection.scalars(
        select(tables.item.c.product_id).where(tables.item.c.state.not_in(_terminal)).distinct()
    )
    return {ProductId(product_id) for product_id in found}


# --- orders that wait for the brake or a freeze ----------------------------------------------------------


def park(connection: Connection, parked: Parked) -> None:
    values = {
        "attempt": parked.attempt,
        "why": parked.why.value,
        "detail": parked.detail,
        "since": parked.since,
    }
    statement = upsert(tables.parked).values(order_id=parked.order_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["order_id"], set_=values))


def unpark(connection: Connection, order_id: OrderId) -> None:
    connection.execute(delete(tables.parked).where(tables.parked.c.order_id == order_id))


def parked_orders(connection: Connection, *, after: int, limit: int) -> list[Parked]:
    """In the order in which they came to wait."""
    rows = connection.execute(
        select(tables.parked).where(tables.parked.c.n > after).order_by(tables.parked.c.n).limit(limit)
    )
    return [
        Parked(
            n=row.n,
            order_id=OrderId(row.order_id),
            attempt=row.attempt,
            why=ParkedFor(row.why),
            detail=row.detail,
            since=row.since,
        )
        for row in rows
    ]


def open_orders_of(connection: Connection, account_id: AccountId, origin: str) -> list[OrderId]:
    """Orders of this account and origin that are not over, the oldest first."""
    table = tables.product_order
    rows = connection.execute(
        select(table.c.order_id)
        .where(table.c.account_id == account_id, table.c.origin == origin, table.c.state.not_in(_terminal))
        .order_by(table.c.created_at)
    )
    return [OrderId(row.order_id) for row in rows]

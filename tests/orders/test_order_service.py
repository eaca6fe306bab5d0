"""Use cases of orders without a worker: what may be ordered, once, when, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from orders.conftest import World, add, modify
from turnup.contracts.orders import (
    AdoptedProduct,
    FalloutChoice,
    ItemAction,
    NewOrder,
    NewOrderItem,
    OrderState,
    ProductStatus,
)
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import AccountId, AddressId, OrderId, ProductId, ServiceId, TaskId, new_id


def events(world: World) -> list[tuple[str, Any]]:
    with world.runtime.database.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT type, payload FROM runtime.event WHERE type LIKE 'orders.%' ORDER BY event_id")
        )
        return [(row.type.removeprefix("orders."), row.payload) for row in rows]


def started(world: World) -> list[str]:
    with world.runtime.database.engine.connect() as connection:
        return [row[0] for row in connection.execute(text("SELECT workflow_uuid FROM dbos.workflow_status"))]


def complete(world: World, order_id: OrderId) -> None:
    """As the saga's last step does, without the network."""
    assert world.act(world.orders.complete, order_id, 1, []) is OrderState.COMPLETED


def test_an_order_once_per_key(world: World) -> None:
    first = world.submit(add(), idempotency_key="k")
    assert world.submit(add(), idempotency_key="k") == first
    with pytest.raises(Conflict) as raised:
        world.submit(add("fibre-300"), idempotency_key="k")
    assert raised.value.field == "Idempotency-Key"
    assert world.submit(add(), idempotency_key="other") != first
    assert len(world.orders.orders()) == 2
    assert [kind for kind, _ in events(world)] == ["OrderStateChanged"] * 2
    assert sorted(started(world)) == sorted(f"order:{order.id}:1" for order in world.orders.orders())


def test_a_closed_customer_gets_nothing_new_and_may_cease(world: World) -> None:
    order = world.submit(add(), idempotency_key="before")
    complete(world, order)
    product = world.orders.loaded(order).items[0].product_id
    customers = world.customers
    customers.closed.add(customers.account(customers.jane).customer_id)
    for items in ((add(),), (modify(product, "fibre-300"),)):
        with pytest.raises(Conflict) as raised:
            world.submit(*items)
        assert (raised.value.field, "new customer" in (raised.value.remedy or "")) == (
            "billingAccount.id",
            True,
        )
    assert world.submit(add(), idempotency_key="before") == order  # told again what was done
    world.submit(NewOrderItem(action=ItemAction.DELETE, product_id=product))
    customers.closed.clear()
    assert len(world.orders.orders()) == 2


@pytest.mark.parametrize(
    ("items", "more", "field"),
    [
        ((), {}, "productOrderItem"),
        ((add(),), {"account_id": AccountId(new_id())}, "billingAccount.id"),
        ((add(), add("copper")), {}, "productOrderItem[1].productOffering.id"),
        ((add("old"),), {}, "productOrderItem[0].productOffering.id"),
        ((add(speed=1),), {}, "productOrderItem[0].productCharacteristic.speed"),
        ((add(),), {"site": None, "address_id": AddressId(new_id())}, "address"),
        ((modify(ProductId(new_id())),), {}, "productOrderItem[0].product.id"),
    ],
)
def test_a_refused_order_names_its_field_and_leaves_nothing(
    world: World, items: Any, more: Any, field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        world.submit(*items, **more)
    assert raised.value.field == field
    assert (world.orders.orders(), world.orders.products(), events(world), started(world)) == ([], [], [], [])


def test_one_order_at_a_time_for_a_product(world: World) -> None:
    first = world.submit(add())
    [product] = world.orders.products()
    with pytest.raises(Conflict, match="still being delivered"):
        world.submit(modify(product.id, "fibre-300"))
    complete(world, first)
    second = world.submit(modify(product.id, "fibre-300"))
    with pytest.raises(Conflict, match="still at work"):
        world.submit(NewOrderItem(action=ItemAction.DELETE, product_id=product.id))
    with pytest.raises(InvalidInput, match="no such product"):
        world.submit(modify(product.id), account_id=world.customers.joe)
    complete(world, second)
    complete(world, world.submit(NewOrderItem(action=ItemAction.DELETE, product_id=product.id)))
    with pytest.raises(Conflict, match="terminated"):
        world.submit(modify(product.id, "fibre-100"))


def test_prices_are_agreed_with_the_sale_the_change_and_the_end(world: World) -> None:
    complete(world, world.submit(add()))
    [product] = world.orders.products()
    assert (product.status, product.start) == (ProductStatus.ACTIVE, world.runtime.clock.now())
    complete(world, world.submit(modify(product.id, "fibre-300", static_ipv4=True)))
    complete(
        world,
        world.submit(
            NewOrderItem(
                action=ItemAction.MODIFY, product_id=product.id, target_status=ProductStatus.SUSPENDED
            )
        ),
    )
    complete(world, world.submit(NewOrderItem(action=ItemAction.DELETE, product_id=product.id)))
    agreed = [payload for kind, payload in events(world) if kind == "PriceAgreed"]
    assert [
        (
            row["revision"],
            row["offering_code"],
            [charge["code"] for charge in row["charges"]],
            row["effective_at"],
        )
        for row in agreed
    ] == [
        (1, "fibre-100", ["activation", "month"], None),
        (2, "fibre-300", ["month", "static"], agreed[1]["effective_at"]),
        (3, "fibre-300", [], agreed[2]["effective_at"]),
    ]
    assert None not in (agreed[1]["effective_at"], agreed[2]["effective_at"])
    [product] = world.orders.products()
    assert (product.status, product.end) == (ProductStatus.TERMINATED, world.runtime.clock.now())


def test_an_order_for_later_waits_for_its_date(world: World) -> None:
    later = world.runtime.clock.now() + timedelta(days=3)
    order_id = world.submit(add(), requested_start=later)
    assert (world.state(order_id), started(world)) == ("acknowledged", [])
    assert world.act(world.orders.release_due) == 0
    world.runtime.clock.advance(timedelta(days=3))
    assert world.act(world.orders.release_due) == 1
    assert world.act(world.orders.release_due) == 0
    assert (world.state(order_id), started(world)) == ("inProgress", [f"order:{order_id}:1"])


def test_an_order_for_later_is_cancelled_without_a_trace(world: World) -> None:
    order_id = world.submit(add("with-visit"), requested_start=world.runtime.clock.now() + timedelta(days=3))
    for _ in range(2):
        world.act(world.orders.cancel, order_id, "changed my mind")
    assert (world.state(order_id), started(world)) == ("cancelled", [])
    assert [product.status for product in world.orders.products()] == [ProductStatus.CANCELLED]
    assert [task.state for task in world.orders.tasks(order_id)] == ["cancelled"]


def test_what_is_over_cannot_be_cancelled_or_resolved(world: World) -> None:
    order_id = world.submit(add())
    complete(world, order_id)
    with pytest.raises(Conflict, match="is completed"):
        world.act(world.orders.cancel, order_id, "late")
    with pytest.raises(Conflict, match="not fallen out"):
        world.act(world.orders.resolve_fallout, order_id, FalloutChoice.RETRY, "why")
    for use_case in (
        lambda: world.act(world.orders.cancel, OrderId(new_id()), ""),
        lambda: world.act(world.orders.complete_task, TaskId(new_id()), {}),
    ):
        with pytest.raises(NotFound):
            use_case()


def test_an_outdated_attempt_moves_nothing(world: World) -> None:
    """A worker that was taken for dead comes back with the result of attempt 1 while attempt 2 runs."""
    order_id = world.submit(add())
    world.act(world.orders.fall_out, order_id, 1, "realise", "refused", [])
    world.act(world.orders.resolve_fallout, order_id, FalloutChoice.RETRY, "mended")
    before = events(world)
    world.act(world.orders.fall_out, order_id, 1, "realise", "refused again", [])
    assert world.act(world.orders.complete, order_id, 1, []) is OrderState.IN_PROGRESS
    world.act(world.orders.undone, order_id, 1, [], [])
    assert (world.state(order_id), events(world), world.orders.fallout()) == ("inProgress", before, [])


def test_a_fall_out_offers_only_what_helps(world: World) -> None:
    order_id = world.submit(add())
    world.act(world.orders.fall_out, order_id, 1, "reserve", "no address left", [])
    [fallout] = world.orders.fallout()
    assert FalloutChoice.SKIP not in fallout.choices
    refused: list[tuple[FalloutChoice, str, Any, str]] = [
        (FalloutChoice.SKIP, "x", None, "choice"),
        (FalloutChoice.EDIT, "x", None, "edits"),
        (FalloutChoice.EDIT, "x", {"speed": "1"}, "edits.speed"),
    ]
    for choice, reason, edits, field in refused:
        with pytest.raises(InvalidInput) as raised:
            world.act(world.orders.resolve_fallout, order_id, choice, reason, edits)
        assert raised.value.field == field
    assert len(world.orders.fallout()) == 1


def test_dunning_orders_once_and_only_what_is_to_do(world: World) -> None:
    complete(world, world.submit(add()))
    complete(world, world.submit(add()))

    def ordered(status: ProductStatus, key: str) -> OrderId | None:
        found: OrderId | None = world.act(
            world.orders.change_status, world.customers.jane, status, key, "dunning 1"
        )
        return found

    assert ordered(ProductStatus.ACTIVE, "nothing to do") is None
    first = ordered(ProductStatus.SUSPENDED, "dunning:1:suspend")
    assert first is not None
    assert ordered(ProductStatus.SUSPENDED, "dunning:1:suspend") == first
    assert ordered(ProductStatus.SUSPENDED, "dunning:2:suspend") is None  # an order is at work on them
    complete(world, first)
    assert {product.status for product in world.orders.products()} == {ProductStatus.SUSPENDED}
    assert [
        payload["origin"] for kind, payload in events(world) if payload.get("order_id") == str(first)
    ] == [
        "dunning",
        "dunning",
    ]


def test_a_running_product_is_taken_over_once_and_nothing_is_started(world: World) -> None:
    adopted = AdoptedProduct(
        account_id=world.customers.jane,
        address_id=None,
        offering="fibre-100",
        characteristics={"static_ipv4": True},
        service_id=ServiceId(new_id()),
        product_id=ProductId(new_id()),
        started_at=world.runtime.clock.now() - timedelta(days=400),
    )
    for _ in range(2):
        world.act(world.orders.adopt, adopted)
    [(kind, payload)] = events(world)
    assert (kind, payload["adopted"], [charge["code"] for charge in payload["charges"]]) == (
        "PriceAgreed",
        True,
        ["month", "static"],
    )
    assert (started(world), len(world.orders.products())) == ([], 1)
    wrong: list[Callable[[], Any]] = [
        lambda: world.act(world.orders.adopt, replace(adopted, product_id=ProductId(new_id()), offering="x")),
        lambda: world.act(
            world.orders.adopt,
            replace(adopted, product_id=ProductId(new_id()), account_id=AccountId(new_id())),
        ),
    ]
    for use_case in wrong:
        with pytest.raises(InvalidInput):
            use_case()


def test_numbers_are_found_and_pages_are_newest_first(world: World) -> None:
    placed = [world.submit(add()) for _ in range(3)]
    world.runtime.clock.advance(timedelta(seconds=1))
    newest = world.submit(add())
    assert world.orders.orders(limit=1)[0].id == newest
    assert len(world.orders.orders(states=["inProgress"], offset=1, limit=10)) == 3
    number = world.orders.orders(limit=1)[0].number
    assert world.orders.order_by_number(number).id == newest  # type: ignore[union-attr]
    assert world.orders.order(OrderId(new_id())) is None
    assert NewOrder(account_id=world.customers.jane, items=()).origin == "api"
    assert newest not in placed

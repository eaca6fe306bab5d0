"""The saga as declared: fail each step, repeat each step, repeat each undo; on a real worker."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from builders.direct_run import DirectRun
from builders.house import deliver_events
from builders.log_lines import captured_log
from orders.conftest import World, add, modify
from turnup.bss.orders import workflows
from turnup.bss.orders.model import Order
from turnup.bss.orders.service import FULFIL
from turnup.bss.orders.workflows import STEPS, SagaStep
from turnup.contracts.orders import FalloutChoice, ItemAction, NewOrderItem, OrderId, ProductStatus
from turnup.kernel.errors import InvalidInput, Unavailable
from turnup.runtime.durable import Durable, QueueSpec

REFUSED = InvalidInput("refused for the test", field="test")
BREAK: dict[str, Callable[[World], None]] = {
    "reserve": lambda world: world.inventory_commands.broken.update(reserve=REFUSED),
    "design": lambda world: world.provisioning_commands.broken.update(design=REFUSED),
    "realise": lambda world: world.network.trouble.append("refused"),
}
"""How to make each declared step fail for good."""


def mend(world: World) -> None:
    world.inventory_commands.broken.clear()
    world.provisioning_commands.broken.clear()
    world.network.trouble.clear()
    world.network.refuse.clear()


def test_every_declared_step_can_be_broken() -> None:
    assert [step.name for step in STEPS] == list(BREAK)


def picture(world: World) -> dict[str, Any]:
    """All that orders, inventory, provisioning and the network hold; not when it was last looked at."""
    tables = (
        "inventory.slot",
        "inventory.line",
        "inventory.holding",
        "provisioning.service",
        "orders.product",
    )
    volatile = "'changed_at', 'configuration_read_at', 'created_at'"
    with world.runtime.database.engine.connect() as connection:
        found: dict[str, Any] = {
            table: sorted(
                str(row[0])
                for row in connection.execute(
                    text(
                        f"SELECT to_jsonb(t) - ARRAY[{volatile}] FROM {table} t WHERE service_id IS NOT NULL"
                    )
                )
            )
            for table in tables
        }
        found["events"] = connection.scalar(text("SELECT count(*) FROM runtime.event"))
    return {**found, "network": dict(world.network.holds)}


def taken(world: World) -> int:
    with world.runtime.database.engine.connect() as connection:
        return sum(
            connection.scalar(text(f"SELECT count(*) FROM inventory.{table} WHERE service_id IS NOT NULL"))
            or 0
            for table in ("slot", "line")
        )


def running_product(world: World, run: DirectRun, **characteristics: Any) -> Order:
    """A product sold and proved, by the saga's own steps."""
    order = world.orders.loaded(world.submit(add(**characteristics)))
    for step in STEPS:
        assert step.do(world.fulfilment, run, order)["ok"]  # type: ignore[arg-type]
    assert world.act(world.orders.complete, order.id, 1, []) == "completed"
    deliver_events(world.runtime, world.components)
    return order


KINDS: dict[str, Callable[[Any], NewOrderItem]] = {
    "plan": lambda product: modify(product, "fibre-300", static_ipv4=True),
    "suspend": lambda product: NewOrderItem(
        action=ItemAction.MODIFY, product_id=product, target_status=ProductStatus.SUSPENDED
    ),
    "delete": lambda product: NewOrderItem(action=ItemAction.DELETE, product_id=product),
}


@pytest.fixture(params=["add", *KINDS])
def order(request: pytest.FixtureRequest, world: World) -> Order:
    """An order of each kind that changes something."""
    run = DirectRun(world.runtime)
    if request.param == "add":
        return world.orders.loaded(world.submit(add(static_ipv4=True)))
    product = running_product(world, run).items[0].product_id
    return world.orders.loaded(world.submit(KINDS[request.param](product)))


@pytest.mark.parametrize("last", STEPS, ids=lambda step: step.name)
def test_a_step_done_twice_changes_nothing_more(world: World, order: Order, last: SagaStep) -> None:
    run: Any = DirectRun(world.runtime)
    for step in STEPS[: STEPS.index(last) + 1]:
        assert step.do(world.fulfilment, run, order)["ok"]
    before = picture(world)
    assert last.do(world.fulfilment, run, order)["ok"]
    assert picture(world) == before


@pytest.mark.parametrize("done", range(len(STEPS) + 1))
def test_undoing_any_part_twice_leaves_what_was_before(world: World, order: Order, done: int) -> None:
    """Steps 1…n done, all undone (also those that never ran), each undo twice: nothing is left."""
    run: Any = DirectRun(world.runtime)
    before = picture(world)
    held = taken(world)
    for step in STEPS[:done]:
        assert step.do(world.fulfilment, run, order)["ok"]
    deliver_events(world.runtime, world.components)
    for step in reversed(STEPS):
        assert all(outcome["ok"] for outcome in step.undo(world.fulfilment, run, order))
        once = picture(world)
        assert all(outcome["ok"] for outcome in step.undo(world.fulfilment, run, order))
        assert picture(world) == once
    deliver_events(world.runtime, world.components)
    after = picture(world)
    gone = order.items[0].action is ItemAction.DELETE and done == len(STEPS)
    assert taken(world) == (0 if gone else held)
    if order.items[0].action is ItemAction.ADD:
        assert after["network"] == before["network"] == {}
        return
    if gone:  # past the point of no return
        assert (after["network"], world.fulfilment.ceased(order)) == ({}, [order.items[0].id])
        return
    [(_, characteristics, resources)] = after["network"].values()
    [(_, characteristics_before, resources_before)] = before["network"].values()
    assert (characteristics, resources) == (characteristics_before, resources_before)
    assert after["inventory.slot"] == before["inventory.slot"]
    assert after["inventory.holding"] == before["inventory.holding"]


@pytest.fixture
def worker(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Durable]:
    monkeypatch.setattr(workflows, "RETRY_DELAYS_S", (0.02, 0.02))
    durable = Durable(
        world.runtime.database,
        world.runtime.clock,
        workflows=[workflow for component in world.components for workflow in component.workflows],
        queues=[QueueSpec(name="orders", poll_ms=20, worker_concurrency=2)],
    )
    world.runtime.attach(durable)
    durable.launch("test-worker", pool_size=3, threads=4)
    yield durable
    durable.stop(drain_s=0)


def cancel_open(world: World) -> None:
    """Somebody cancels the order that is being worked on."""
    [order_id] = [order.id for order in world.orders.orders() if order.state == "inProgress"]
    world.act(world.orders.cancel, order_id, "changed my mind")


def settled(world: World, order_id: OrderId, *states: str) -> str:
    deadline = time.monotonic() + 60
    while (state := world.state(order_id)) not in states:
        assert time.monotonic() < deadline, f"order is {state}, not {states}"
        assert state != "held", world.orders.fallout()
        time.sleep(0.02)
    return state


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_a_step_that_fails_for_good_falls_out_and_its_undo_leaves_nothing(world: World, step: str) -> None:
    BREAK[step](world)
    order_id = world.submit(add())
    settled(world, order_id, "held")
    [fallout] = world.orders.fallout()
    assert (fallout.order_id, fallout.step) == (order_id, step)
    assert fallout.reason
    mend(world)
    world.act(world.orders.resolve_fallout, order_id, FalloutChoice.UNDO, "customer gave up")
    settled(world, order_id, "cancelled")
    deliver_events(world.runtime, world.components)
    [product] = world.orders.products()
    assert product.status is ProductStatus.CANCELLED
    assert (taken(world), world.network.holds, world.orders.fallout()) == (0, {}, [])


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_a_step_that_failed_is_repeated_after_the_cause_is_mended(world: World, step: str) -> None:
    BREAK[step](world)
    order_id = world.submit(add())
    settled(world, order_id, "held")
    mend(world)
    world.act(world.orders.resolve_fallout, order_id, FalloutChoice.RETRY, "mended")
    settled(world, order_id, "completed")
    view = world.orders.order(order_id)
    assert view is not None
    second = [line.name for line in view.steps if line.attempt == 2]
    assert (second, view.error, len(world.network.holds)) == (["reserve", "design", "realise"], None, 1)
    assert world.orders.products()[0].status is ProductStatus.ACTIVE


@pytest.mark.usefixtures("worker")
def test_the_network_away_for_a_moment_is_no_fall_out(world: World) -> None:
    world.network.trouble = [Unavailable("olt1 does not answer"), "lost"]
    order_id = world.submit(add())
    settled(world, order_id, "completed")
    assert (world.network.calls, world.orders.fallout()) == (3, [])


@pytest.mark.usefixtures("worker")
def test_a_skipped_step_completes_and_an_edit_goes_in(world: World) -> None:
    world.network.trouble = ["refused"]
    order_id = world.submit(add())
    settled(world, order_id, "held")
    with pytest.raises(InvalidInput, match="needs a reason"):
        world.act(world.orders.resolve_fallout, order_id, FalloutChoice.SKIP, " ")
    world.act(world.orders.resolve_fallout, order_id, FalloutChoice.SKIP, "configured by hand")
    settled(world, order_id, "completed")
    world.network.trouble = ["refused"]
    second = world.submit(add())
    settled(world, second, "held")
    world.act(
        world.orders.resolve_fallout, second, FalloutChoice.EDIT, "wants static", {"static_ipv4": "true"}
    )
    settled(world, second, "completed")
    [(_, characteristics, resources)] = world.network.holds.values()
    assert characteristics["static_ipv4"] == "true"
    assert resources["ipv4"] == "198.51.100.1"


@pytest.mark.usefixtures("worker")
def test_a_cancel_while_the_network_works_undoes_everything(world: World) -> None:
    world.network.meanwhile = lambda: cancel_open(world)
    order_id = world.submit(add())
    settled(world, order_id, "cancelled")
    deliver_events(world.runtime, world.components)
    assert (taken(world), world.network.holds) == (0, {})
    [product] = world.orders.products()
    assert product.status is ProductStatus.CANCELLED


@pytest.mark.usefixtures("worker")
def test_a_cancelled_change_leaves_the_old_plan(world: World) -> None:
    order_id = world.submit(add())
    settled(world, order_id, "completed")
    [product] = world.orders.products()
    [before] = world.network.holds.values()
    world.network.trouble = ["refused"]
    change = world.submit(modify(product.id, "fibre-300", static_ipv4=True))
    settled(world, change, "held")
    world.act(world.orders.cancel, change, "too slow")
    settled(world, change, "cancelled")
    deliver_events(world.runtime, world.components)
    [after] = world.network.holds.values()
    assert after[1:] == before[1:]
    [product] = world.orders.products()
    assert (product.offering_code, product.status) == ("fibre-100", ProductStatus.ACTIVE)


@pytest.mark.usefixtures("worker")
def test_a_task_that_blocks_activation_holds_the_network_back(world: World) -> None:
    order_id = world.submit(add("with-visit"))
    settled(world, order_id, "pending")
    assert world.network.calls == 0
    [task] = world.orders.tasks(order_id)
    world.act(world.orders.complete_task, task.id, {"ont_serial": "TURN0042"})
    world.act(world.orders.complete_task, task.id, {})
    settled(world, order_id, "completed")
    [(_, _, resources)] = world.network.holds.values()
    assert resources["ont_serial"] == "TURN0042"


@pytest.mark.usefixtures("worker")
def test_a_task_that_blocks_completion_waits_with_a_live_service(world: World) -> None:
    order_id = world.submit(add("with-router"))
    settled(world, order_id, "pending")
    assert len(world.network.holds) == 1
    [product] = world.orders.products()
    assert product.status is ProductStatus.PENDING_ACTIVE
    [task] = world.orders.tasks(order_id)
    world.act(world.orders.complete_task, task.id, {})
    settled(world, order_id, "completed")


@pytest.mark.usefixtures("worker")
def test_a_cancel_that_comes_after_the_service_ended_is_too_late(world: World) -> None:
    settled(world, world.submit(add()), "completed")
    settled(world, world.submit(add()), "completed")
    second, first = world.orders.products()
    world.network.meanwhile = lambda: cancel_open(world)
    order_id = world.submit(
        NewOrderItem(action=ItemAction.DELETE, product_id=first.id), modify(second.id, "fibre-300")
    )
    settled(world, order_id, "partial")
    states = {product.id: (product.status, product.offering_code) for product in world.orders.products()}
    assert states == {
        first.id: (ProductStatus.TERMINATED, "fibre-100"),
        second.id: (ProductStatus.ACTIVE, "fibre-100"),
    }
    [(_, characteristics, _)] = world.network.holds.values()
    assert characteristics["down_kbps"] == "100000"


@pytest.mark.usefixtures("worker")
def test_an_end_that_fails_falls_out_too_and_can_be_retried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise REFUSED

    with monkeypatch.context() as broken:
        broken.setattr(world.orders, "complete", refuse)
        order_id = world.submit(add())
        settled(world, order_id, "held")
    [fallout] = world.orders.fallout()
    assert (fallout.step, FalloutChoice.SKIP in fallout.choices) == ("complete", False)
    world.act(world.orders.resolve_fallout, order_id, FalloutChoice.RETRY, "mended")
    settled(world, order_id, "completed")


@pytest.mark.usefixtures("worker")
def test_every_log_line_of_the_saga_names_its_order_and_its_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, reserve = structlog.get_logger("turnup.test"), world.inventory.reserve

    def reserve_and_say(unit: Any, request: Any) -> Any:
        log.info("reserving")
        return reserve(unit, request)

    monkeypatch.setattr(world.inventory, "reserve", reserve_and_say)
    world.network.meanwhile = lambda: log.info("configuring")
    with captured_log() as read:
        order_id = world.submit(add())
        settled(world, order_id, "completed")
        world.network.trouble.append("refused")
        fallen = world.submit(add())
        settled(world, fallen, "held")
        lines = [line for line in read() if line["logger"].startswith("turnup")]
    order = world.orders.order(order_id)
    assert order is not None
    about = [line for line in lines if line.get("order_id") == str(order_id)]
    assert [line["event"] for line in about] == [
        "reserving",
        *["order_step"] * 2,
        "configuring",
        "order_step",
    ]
    assert {(line["order"], line["workflow"], line["attempt"]) for line in about} == {
        (order.number, FULFIL, "1")
    }
    services = {line["event"]: line.get("service_id") for line in about}
    assert services["reserving"] == services["configuring"] == str(order.items[0].service_id)
    [fell_out] = [line for line in lines if line["event"] == "order_fell_out"]
    assert (fell_out["order_id"], fell_out["step"]) == (str(fallen), "realise")

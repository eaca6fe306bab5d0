"""A freeze in mid-order, on the lab's real devices: the order waits, goes on by itself, and is done once."""

import pytest
from benchmarks.recovery_rig import Rig
from inline_run import Saga

from turnup.contracts.configuration import FreezeScope
from turnup.contracts.orders import OrderState
from turnup.kernel.ids import FreezeId, OrderId

FROZEN = [(FreezeScope.ELEMENT, "bng1"), (FreezeScope.SITE, "pop1"), (FreezeScope.ALL, None)]


def freeze(rig: Rig, scope: FreezeScope, code: str | None) -> FreezeId:
    house = rig.stand.house
    with house.runtime.unit("configuration", "user:anna") as unit:
        freeze_id = house.configuration.freeze(unit, scope, code, "the core is on fire")
    assert house.path.settle(freeze_id, deadline_s=10) == []
    return freeze_id


def lift(rig: Rig, freeze_id: FreezeId) -> None:
    house = rig.stand.house
    with house.runtime.unit("configuration", "user:anna") as unit:
        house.configuration.lift(unit, freeze_id, "put out")


def tick(rig: Rig) -> None:
    for component in rig.stand.house.components:
        for each in component.ticks:
            if each.name in ("orders.resume_parked", "provisioning.after_lift"):
                each.run()


def attempt(rig: Rig, order_id: OrderId) -> tuple[int, bool]:
    order = rig.stand.house.orders.loaded(order_id)
    return order.attempt, order.running


@pytest.mark.parametrize(("scope", "code"), FROZEN)
def test_an_order_waits_and_completes_once(
    saga: Saga, rig: Rig, scope: FreezeScope, code: str | None
) -> None:
    freeze_id = freeze(rig, scope, code)
    order_id = saga.submit()
    saga.fulfil(order_id)
    assert (saga.state(order_id), saga.fallen_out_at(order_id)) == (OrderState.PENDING, [])
    view = rig.stand.house.orders.order(order_id)
    assert view is not None
    assert "frozen" in (view.error or "")
    assert "user:anna, the core is on fire" in (view.error or "")
    tick(rig)
    assert attempt(rig, order_id) == (1, False), "it does not try in vain"
    lift(rig, freeze_id)
    for _ in range(2):
        tick(rig)
    assert attempt(rig, order_id) == (2, True)
    saga.fulfil(order_id)
    saga.assert_sold(order_id)


def test_who_cancels_meanwhile_is_undone_after_the_lift(saga: Saga, rig: Rig) -> None:
    order_id = saga.submit("fibre-300-50-install")
    saga.fulfil(order_id)
    freeze_id = freeze(rig, FreezeScope.ALL, None)
    saga.cancel(order_id)
    saga.undo(order_id)
    assert (saga.state(order_id), saga.fallen_out_at(order_id)) == (OrderState.PENDING_CANCELLATION, [])
    tick(rig)
    assert not attempt(rig, order_id)[1]
    lift(rig, freeze_id)
    tick(rig)
    saga.undo(order_id)
    saga.assert_nothing_left(order_id)

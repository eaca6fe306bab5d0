"""An order of several items on the network: side by side, one deadline, and what is refused is refused."""

import threading
from typing import Any

import pytest

from builders.direct_run import DirectRun
from orders.conftest import World, add
from turnup.bss.orders import workflows
from turnup.bss.orders.model import Order
from turnup.bss.orders.workflows import RETRY_DELAYS_S, STEPS, Outcome
from turnup.kernel.ids import ServiceId


def designed(world: World, run: DirectRun, items: int) -> Order:
    """An order whose items are reserved and designed, and not on the network yet."""
    order = world.orders.loaded(world.submit(*[add() for _ in range(items)]))
    for step in STEPS[:2]:
        assert step.do(world.fulfilment, run, order)["ok"]  # type: ignore[arg-type]
    return order


def realised(world: World, run: DirectRun, order: Order) -> Outcome:
    done: Any = world.fulfilment.realise(run, order)  # type: ignore[arg-type]
    return done


def services(order: Order) -> list[ServiceId]:
    return [item.service_id for item in order.items]


def test_a_refusal_falls_out_at_once_whoever_else_is_silent(world: World) -> None:
    run = DirectRun(world.runtime)
    order = designed(world, run, 3)
    refused, silent, fine = services(order)
    world.network.refuse, world.network.silent = {refused}, {silent}
    outcome = realised(world, run, order)
    assert (outcome["ok"], outcome["transient"], run.slept) == (False, False, [])
    assert outcome["detail"].count("ONT type not allowed") == 1
    assert "olt2 does not answer" in outcome["detail"]
    assert set(world.network.holds) == {fine}


def test_silence_alone_is_tried_again_until_it_ends(world: World) -> None:
    run = DirectRun(world.runtime)
    order = designed(world, run, 2)
    world.network.silent = {services(order)[0]}
    outcome = realised(world, run, order)
    assert (outcome["ok"], outcome["transient"], run.slept) == (False, True, list(RETRY_DELAYS_S))
    world.network.silent = set()
    assert realised(world, run, order)["ok"]
    assert set(world.network.holds) == set(services(order))


def test_items_are_brought_to_the_network_side_by_side(world: World) -> None:
    run = DirectRun(world.runtime)
    order = designed(world, run, 3)
    world.network.together = threading.Barrier(3)  # one after another, none would be served
    outcome = realised(world, run, order)
    assert (outcome["ok"], world.network.calls) == (True, 3)
    assert outcome["device_ms"] <= outcome["ms"]


def test_one_deadline_is_for_all_items(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = DirectRun(world.runtime)
    order = designed(world, run, 2)
    monkeypatch.setattr(workflows, "STEP_DEADLINE_S", 0.0)
    outcome = realised(world, run, order)
    assert (outcome["ok"], outcome["transient"], world.network.calls) == (False, True, 0)
    assert outcome["detail"].count("no time was left") == 2
    monkeypatch.undo()
    assert realised(world, run, order)["ok"]
    assert max(world.network.deadlines) <= workflows.STEP_DEADLINE_S


def test_a_bug_in_one_item_waits_for_the_others(world: World) -> None:
    """The order falls out; nobody may still be at work on the network behind its back."""
    run = DirectRun(world.runtime)
    order = designed(world, run, 2)
    world.network.trouble = [RuntimeError("a bug")]
    with pytest.raises(RuntimeError):
        realised(world, run, order)
    assert (world.network.calls, len(world.network.holds)) == (2, 1)


@pytest.mark.parametrize(("beside", "parked"), [("fine", "freeze"), ("silent", "freeze"), ("refused", "")])
def test_an_order_waits_for_a_thaw_only_where_nothing_is_refused(
    world: World, beside: str, parked: str
) -> None:
    run = DirectRun(world.runtime)
    order = designed(world, run, 2)
    frozen, other = services(order)
    world.network.frozen_services = {frozen}
    world.network.refuse = {other} if beside == "refused" else set()
    world.network.silent = {other} if beside == "silent" else set()
    outcome = realised(world, run, order)
    assert (outcome["ok"], outcome["parked"], outcome["transient"], run.slept) == (False, parked, False, [])

"""Every step of the order saga fails, repeats, is undone, undone again; the lab tells the truth and lies."""

import pytest
from benchmarks.recovery_rig import Rig
from inline_run import Saga

from turnup.bss.orders.workflows import STEPS
from turnup.contracts.orders import FalloutChoice, OrderState

NAMES = [step.name for step in STEPS]
UNDOS = [f"undo {name}" for name in reversed(NAMES)]
DEVICES = ("olt1", "olt2", "bng1")
LIES: list[dict[str, object]] = [
    {"kind": "late_ack", "delay_ms": 300},
    {"kind": "lost_ack"},
    {"kind": "half_applied", "keep": 1},
    {"kind": "half_applied", "keep": 1, "report": "ok"},
    {"kind": "stale_read"},
    {"kind": "reboot_after_commit", "delay_ms": 100},
    {"kind": "refuse", "on": "save"},
]


def test_the_saga_is_what_its_declaration_says(saga: Saga) -> None:
    order_id = saga.submit()
    assert saga.fulfil(order_id).passed == [*NAMES, "complete"]
    saga.assert_sold(order_id)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", NAMES)
def test_a_step_that_fails_for_good_falls_out_and_can_be_undone(saga: Saga, step: str, when: str) -> None:
    order_id = saga.submit()
    saga.fulfil(order_id, fails=(step, when))
    assert saga.state(order_id) is OrderState.HELD
    assert saga.fallen_out_at(order_id) == [step]
    saga.resolve(order_id, FalloutChoice.UNDO)
    saga.undo(order_id)
    saga.assert_nothing_left(order_id)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", NAMES)
def test_a_step_that_failed_can_be_retried(saga: Saga, step: str, when: str) -> None:
    order_id = saga.submit()
    saga.fulfil(order_id, fails=(step, when))
    saga.resolve(order_id, FalloutChoice.RETRY)
    saga.fulfil(order_id)
    saga.assert_sold(order_id)


def test_every_step_bears_repetition(saga: Saga) -> None:
    order_id = saga.submit()
    saga.fulfil(order_id, times=3)
    saga.assert_sold(order_id)


def test_every_undo_bears_repetition(saga: Saga) -> None:
    order_id = _waiting_for_a_technician(saga)
    saga.undo(order_id, times=3)
    saga.assert_nothing_left(order_id)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", UNDOS)
def test_an_undo_that_fails_is_undone_again(saga: Saga, step: str, when: str) -> None:
    order_id = _waiting_for_a_technician(saga)
    saga.undo(order_id, fails=(step, when))
    assert saga.fallen_out_at(order_id) == ["undo"]
    saga.resolve(order_id, FalloutChoice.UNDO)
    saga.undo(order_id)
    saga.assert_nothing_left(order_id)


def test_a_whole_workflow_that_is_repeated_changes_nothing_more(saga: Saga) -> None:
    order_id = saga.submit()
    saga.fulfil(order_id)
    saga.fulfil(order_id)
    saga.assert_sold(order_id)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: "-".join(str(value) for value in lie.values()))
def test_a_device_that_lies_is_found_out(saga: Saga, rig: Rig, lie: dict[str, object]) -> None:
    """All devices lie once; what is completed is true, and stays so when the devices boot."""
    order_id = saga.submit()
    for device in DEVICES:
        rig.stand.lab.lie(device=device, **lie)
    saga.fulfil(order_id)
    if saga.state(order_id) is OrderState.HELD:
        rig.stand.lab.clear_lies()
        saga.resolve(order_id, FalloutChoice.RETRY)
        saga.fulfil(order_id)
    _boot(rig)
    saga.assert_sold(order_id)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: "-".join(str(value) for value in lie.values()))
def test_an_undo_finds_lies_out_too(saga: Saga, rig: Rig, lie: dict[str, object]) -> None:
    order_id = _waiting_for_a_technician(saga)
    for device in DEVICES:
        rig.stand.lab.lie(device=device, **lie)
    saga.undo(order_id)
    if saga.state(order_id) is OrderState.HELD:
        rig.stand.lab.clear_lies()
        saga.resolve(order_id, FalloutChoice.UNDO)
        saga.undo(order_id)
    _boot(rig)
    saga.assert_nothing_left(order_id)


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_that_refuses_leaves_nothing_on_the_others(saga: Saga, rig: Rig, device: str) -> None:
    order_id = saga.submit()
    others = DEVICES if device == "bng1" else ("olt1", "olt2")
    for each in (device,) if device == "bng1" else others:
        rig.stand.lab.lie(device=each, kind="refuse", count=100)
    saga.fulfil(order_id)
    assert saga.fallen_out_at(order_id) == ["realise"]
    rig.stand.lab.clear_lies()
    saga.resolve(order_id, FalloutChoice.UNDO)
    saga.undo(order_id)
    saga.assert_nothing_left(order_id)


def _waiting_for_a_technician(saga: Saga) -> object:
    """An order that is on the network already, and cancelled."""
    order_id = saga.submit("fibre-300-50-install")
    saga.fulfil(order_id)
    assert saga.state(order_id) is OrderState.PENDING
    saga.cancel(order_id)
    return order_id


def _boot(rig: Rig) -> None:
    """Every device starts from what it has saved."""
    for device in DEVICES:
        rig.stand.lab.reboot(device=device, away_ms=50)
    for device in DEVICES:
        rig.stand.lab.wait_for(lambda lab, device=device: _is_up(lab.status(), device))


def _is_up(status: dict[str, object], device: str) -> bool:
    devices = status["devices"]
    assert isinstance(devices, dict)
    return bool(devices[device]["powered"] and devices[device]["reachable"])

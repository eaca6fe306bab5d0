"""Killed and stopped for real: a worker or the API is struck at a named point, another takes over.

The default run tries a few points of each kind; `-m slow`, and benchmarks.recovery, try them all.
"""

import pytest
from benchmarks.recovery_rig import Rig, Trial, bill_points, edge_points, order_points, undo_points

from turnup.bss.orders.workflows import STEPS

QUICK = {
    ("orders.fulfil.reserve.after", "stop"),
    ("provisioning.intended", "kill"),
    ("orders.fulfil.complete.after", "kill"),
}


def fine(trial: Trial) -> None:
    assert (trial.lost, trial.doubled, trial.problems) == ((), (), ())


def points(names: list[str], *quick: tuple[str, str]) -> list[object]:
    return [
        pytest.param(name, how, marks=[] if (name, how) in quick else [pytest.mark.slow])
        for name in names
        for how in ("kill", "stop")
    ]


def test_the_points_come_from_the_declarations() -> None:
    for step in STEPS:
        assert f"orders.fulfil.{step.name}.after" in order_points()
        assert f"orders.undo.undo {step.name}.before" in undo_points()
    every = [*order_points(), *undo_points(), *bill_points(), *edge_points("billing")]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(("point", "how"), points(order_points(), *QUICK))
def test_an_order_is_fulfilled_once(rig: Rig, point: str, how: str) -> None:
    fine(rig.try_order(point, how))


@pytest.mark.parametrize(("point", "how"), points(undo_points(), ("orders.undo.undo design.done", "kill")))
def test_an_order_is_undone_whole(rig: Rig, point: str, how: str) -> None:
    fine(rig.try_undo(point, how))


@pytest.mark.parametrize(("point", "how"), points(edge_points("orders"), ("unit.orders.committed", "kill")))
def test_an_order_is_taken_once(rig: Rig, point: str, how: str) -> None:
    fine(rig.try_submission(point, how))


@pytest.fixture(scope="module")
def billed(running_rig: Rig) -> None:
    running_rig.start_billing()


@pytest.fixture
def billing(rig: Rig, billed: None) -> Rig:
    return rig


@pytest.mark.parametrize(("point", "how"), points(bill_points(), ("billing.number_run.number.after", "kill")))
def test_a_bill_is_made_once(billing: Rig, point: str, how: str) -> None:
    fine(billing.try_bill_run(point, how))


@pytest.mark.parametrize(("point", "how"), points(edge_points("billing"), ("unit.billing.committed", "kill")))
def test_a_payment_counts_once(billing: Rig, point: str, how: str) -> None:
    fine(billing.try_payment(point, how))

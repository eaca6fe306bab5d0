"""The order saga without its engine: every step done here and now, once or more often, or made to fail."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.recovery_rig import Rig, Verdict

from turnup.bss.orders.service import FULFIL, UNDO
from turnup.contracts.orders import FalloutChoice, OrderState
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import OrderId

_LONGEST_PAUSE_S = 0.5


class StepFailed(InvalidInput):
    """A step that fails for good."""

    code = "step_failed"


@dataclass
class InlineRun:
    """Stands in for runtime.durable.Run: the same words, no checkpoints. `times`: how often each step is
    done; `fails`: (step, before | after its work)."""

    rig: Rig
    times: int = 1
    fails: tuple[str, str] | None = None
    passed: list[str] = field(default_factory=list)

    id = "inline"

    def unit(self, component: str, name: str, function: Callable[..., Any], *args: Any) -> Any:
        def once() -> Any:
            with self.rig.stand.house.runtime.unit(component, "workflow:test") as unit:
                return function(unit, *args)

        return self._do(name, once)

    def world(self, name: str, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return self._do(name, lambda: function(*args, **more))

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _LONGEST_PAUSE_S))

    def _do(self, name: str, once: Callable[[], Any]) -> Any:
        self.passed.append(name)
        self._fail(name, "before")
        for _ in range(self.times):
            result = once()
        self._fail(name, "after")
        return result

    def _fail(self, name: str, when: str) -> None:
        if self.fails == (name, when):
            raise StepFailed(f"{name} failed {when} its work")


class Saga:
    """Orders of one rig, fulfilled and undone by hand."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        house = rig.stand.house
        known = {w.name: w.function for component in house.components for w in component.workflows}
        self._fulfil, self._undo = known[FULFIL], known[UNDO]

    def submit(self, offering: str = "fibre-300-50") -> OrderId:
        return self._rig.submit(offering)

    def fulfil(self, order_id: OrderId, **how: Any) -> InlineRun:
        return self._run(self._fulfil, order_id, **how)

    def undo(self, order_id: OrderId, **how: Any) -> InlineRun:
        return self._run(self._undo, order_id, **how)

    def _run(self, function: Callable[..., None], order_id: OrderId, **how: Any) -> InlineRun:
        run = InlineRun(self._rig, **how)
        attempt = self._rig.stand.house.orders.loaded(order_id).attempt
        function(run, str(order_id), str(attempt))
        return run

    def state(self, order_id: OrderId) -> OrderState:
        return self._rig.state(order_id)

    def resolve(self, order_id: OrderId, choice: FalloutChoice) -> None:
        house = self._rig.stand.house
        with house.runtime.unit("orders", "user:test") as unit:
            house.orders.resolve_fallout(unit, order_id, choice, "because")

    def cancel(self, order_id: OrderId) -> None:
        house = self._rig.stand.house
        with house.runtime.unit("orders", "user:test") as unit:
            house.orders.cancel(unit, order_id, "changed her mind")

    def fallen_out_at(self, order_id: OrderId) -> list[str]:
        return [f.step for f in self._rig.stand.house.orders.fallout() if f.order_id == order_id]

    def assert_sold(self, order_id: OrderId) -> None:
        """Completed once, and once everywhere: products, prices, devices, AAA, pools."""
        self._assert(self._rig.check_sale, order_id)

    def assert_nothing_left(self, order_id: OrderId) -> None:
        """Cancelled, and nothing of it anywhere."""
        self._assert(self._rig.check_undone, order_id)

    @staticmethod
    def _assert(check: Callable[[OrderId, Verdict], None], order_id: OrderId) -> None:
        verdict = Verdict()
        check(order_id, verdict)
        found = [*verdict.lost, *verdict.doubled, *verdict.problems]
        assert not found, found

"""The order saga: reserve, design, realise, complete; and the way back.

Declared as data (`STEPS`), so that tests can generate "fail each step, repeat each step, repeat each undo,
kill at each step" from the declaration. At most four durable steps per order; sub-steps are in the timeline.
What a step reads outside its own transaction is fixed when the order is submitted, so a replay takes the
same way.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypedDict
from uuid import UUID

import structlog

from turnup.bss.orders import rules
from turnup.bss.orders.model import Item, Order, Parked, ParkedFor
from turnup.bss.orders.service import FULFIL, UNDO, Orders
from turnup.contracts import catalog, inventory, provisioning
from turnup.contracts.inventory import Reservation, ReserveRequest, ResourceNeed
from turnup.contracts.orders import ItemAction, OrderState, StepView
from turnup.contracts.provisioning import (
    Admission,
    Cause,
    HoldState,
    Realisation,
    ServiceRequest,
    ServiceState,
)
from turnup.contracts.unit import Unit
from turnup.kernel.clock import Clock
from turnup.kernel.errors import InvalidInput, TurnupError, Unavailable
from turnup.kernel.ids import OfferingId, OrderId, OrderItemId, ServiceId
from turnup.runtime import metrics, telemetry
from turnup.runtime.component import Runtime
from turnup.runtime.durable import INTERRUPTS, Run, Workflow

log = structlog.get_logger(__name__)

_LOGGED = ("order_id", "attempt")

RETRY_DELAYS_S = (0.2, 1.0, 5.0, 15.0)
"""Between attempts at a network that does not answer, before the order falls out."""
_PARKED_PAGE = 200

STEP_DEADLINE_S = 15.0
"""For all that one attempt does on the network, however many items the order has."""

_ITEMS_AT_ONCE = 4
"""Items of orders with several that one worker process has on the network; each needs a connection."""


class Outcome(TypedDict):
    """What a step leaves in its checkpoint; becomes a line of the order's timeline."""

    name: str
    started_at: str
    ms: float
    device_ms: float
    ok: bool
    detail: str
    transient: bool
    cancelled: bool
    parked: str
    """What it waits for by itself (model.ParkedFor); empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """What became of one item on the network; where it is not ok, `transient` and `frozen` say what it waits
    for, neither that it was refused for good."""

    ok: bool
    transient: bool
    detail: str
    frozen: bool = False
    device_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One step with its undo. Both bear repetition; an undo bears a step that never ran."""

    name: str
    do: Callable[["Fulfilment", Run, Order], Outcome]
    undo: Callable[["Fulfilment", Run, Order], Sequence[Outcome]]


class Fulfilment:
    """The saga's steps with the peers they command."""

    def __init__(
        self,
        orders: Orders,
        clock: Clock,
        *,
        offers: catalog.Reads,
        network: inventory.Commands,
        network_reads: inventory.Reads,
        services: provisioning.Commands,
        services_reads: provisioning.Reads,
        realiser: provisioning.Realise,
    ) -> None:
        self.orders = orders
        self._clock = clock
        self._offers = offers
        self._network = network
        self._network_reads = network_reads
        self._services = services
        self._services_reads = services_reads
        self._realiser = realiser
        self._items = ThreadPoolExecutor(max_workers=_ITEMS_AT_ONCE, thread_name_prefix="item")

    # --- forward ------------------------------------------------------------------------------------------

    def reserve(self, run: Run, order: Order) -> Outcome:
        def body(unit: Unit) -> Outcome:
            return self._timed("reserve", lambda: self._reserve_all(unit, order))

        return run.unit("inventory", "reserve", body)

    def _reserve_all(self, unit: Unit, order: Order) -> str:
        held = []
        facts = self.orders.task_facts(order.id)
        for item in _designed_items(order):
            with telemetry.bind(service_id=item.service_id):
                held.append(_describe(self._reserve(unit, order, item, facts)))
        return "; ".join(held) or "nothing to reserve"

    def _reserve(self, unit: Unit, order: Order, item: Item, facts: Mapping[str, str]) -> Reservation:
        offering = self._offering(item.offering_id)
        needs = tuple(
            ResourceNeed(kind=kind, pool=pool, prefix_length=length)
            for kind, pool, length in rules.needed_resources(offering, item.characteristics)
        )
        return self._network.reserve(
            unit,
            ReserveRequest(
                service_id=item.service_id,
                address_id=order.address_id,
                site=order.site,
                needs=needs,
                ont_serial=item.characteristics.get("ont_serial") or facts.get("ont_serial"),
            ),
        )

    def design(self, run: Run, order: Order) -> Outcome:
        def body(unit: Unit) -> Outcome:
            wanted, cause = rules.wanted_changes(order), rules.cause_of(order)
            # else a long freeze would save up what the brake let through hour by hour
            if cause.automatic and self._realiser.frozen(list(wanted)):
                return self._waits("design", ParkedFor.FREEZE, "an element is frozen: turnup freeze list")
            if not self._services.admit(unit, wanted, cause):
                return self._waits("design", ParkedFor.BRAKE, "held by the brake: turnup brake list")
            return self._timed("design", lambda: self._design_all(unit, order))

        return run.unit("provisioning", "design", body)

    def _design_all(self, unit: Unit, order: Order) -> str:
        generations = []
        for item in order.items:
            if item.action is not ItemAction.NO_CHANGE:
                with telemetry.bind(service_id=item.service_id):
                    generations.append(f"generation {self._design_item(unit, order, item)}")
        return ", ".join(generations) or "nothing to design"

    def _design_item(self, unit: Unit, order: Order, item: Item) -> int:
        cause = rules.cause_of(order)
        if item.action is ItemAction.DELETE:
            return self._services.set_admission(unit, item.service_id, Admission.NONE, cause)
        if item.target_status is not None:
            admission = rules.admission_of(item.target_status)
            return self._services.set_admission(unit, item.service_id, admission, cause)
        return self._design(
            unit, order, item, item.offering_id, item.characteristics, self._held(item), cause
        )

    def realise(self, run: Run, order: Order) -> Outcome:
        return self._until_done(run, "realise", order, check_cancel=True)

    def _until_done(self, run: Run, name: str, order: Order, *, check_cancel: bool) -> Outcome:
        """Again and again while the network does not answer; each try is a step of its own."""
        for delay_s in (*RETRY_DELAYS_S, None):
            outcome = run.world(name, self._realise_all, name, order, check_cancel=check_cancel)
            over = outcome["ok"] or outcome["cancelled"] or outcome["parked"]
            if over or not outcome["transient"] or delay_s is None:
                break
            run.sleep(delay_s)
        return outcome

    def _realise_all(self, name: str, order: Order, *, check_cancel: bool) -> Outcome:
        started_at, started = self._clock.now(), time.perf_counter()
        cancelled = check_cancel and self.orders.loaded(order.id).cancel_requested
        tries = (
            []
            if cancelled
            else self._try_all(self._to_realise(order, undo=not check_cancel), started + STEP_DEADLINE_S)
        )
        failed = [each for each in tries if not each.ok]
        # what is refused for good stays refused, however soon the others answer or thaw
        refused = any(not each.transient and not each.frozen for each in failed)
        frozen = any(each.frozen for each in failed)
        ms = (time.perf_counter() - started) * 1000
        return {
            "name": name,
            "started_at": started_at.isoformat(),
            "ms": ms,
            "device_ms": min(ms, sum(each.device_ms for each in tries)),  # they overlap
            "ok": not failed,
            "detail": "; ".join(each.detail for each in tries),
            "transient": bool(failed) and not refused and not frozen,
            "cancelled": cancelled,
            "parked": ParkedFor.FREEZE.value if frozen and not refused else "",
        }

    def _to_realise(self, order: Order, *, undo: bool) -> list[ServiceId]:
        """The services that the order changes and the network has to hear of."""
        changed = [item for item in order.items if item.action is not ItemAction.NO_CHANGE]
        return [item.service_id for item in changed if not self._is_as_wanted(item, undo=undo)]

    def _try_all(self, service_ids: Sequence[ServiceId], end: float) -> list[_Try]:
        """Side by side, within one deadline; when this returns, nobody is at work any more."""
        if len(service_ids) == 1:
            return [self._try(service_ids[0], end)]
        attempt = telemetry.carried(partial(self._try, end=end))
        futures = [self._items.submit(attempt, service_id) for service_id in service_ids]
        wait(futures)
        return [future.result() for future in futures]

    def _try(self, service_id: ServiceId, end: float) -> _Try:
        left_s = end - time.perf_counter()
        if left_s <= 0:
            return _Try(ok=False, transient=True, detail=f"no time was left for service {service_id}")
        try:
            with telemetry.bind(service_id=service_id):
                done = self._realiser.realise(service_id, deadline_s=left_s)
        except TurnupError as error:
            return _Try(ok=False, transient=isinstance(error, Unavailable), detail=str(error))
        return _Try(
            ok=done.ok,
            transient=done.transient,
            frozen=done.frozen,
            detail=_proof(done),
            device_ms=done.device_ms,
        )

    def _is_as_wanted(self, item: Item, *, undo: bool) -> bool:
        """Nothing to do on the network: there is no such service; or, on the way back, what it should be now
        was proved already: an order that never changed it leaves its elements alone."""
        service = self._services_reads.service(item.service_id)
        return service is None or (undo and service.generation == service.verified_generation)

    # --- back ---------------------------------------------------------------------------------------------

    def unreserve(self, run: Run, order: Order) -> Sequence[Outcome]:
        def body(unit: Unit) -> Outcome:
            return self._timed("undo reserve", lambda: self._unreserve_all(unit, order))

        return [run.unit("inventory", "undo reserve", body)]

    def _unreserve_all(self, unit: Unit, order: Order) -> str:
        for item in _designed_items(order):
            if item.action is ItemAction.ADD:
                self._network.release(unit, item.service_id)
            elif item.before is not None:
                self._network.revert(unit, item.service_id, _resources_before(item))
        return "resources given back"

    def undesign(self, run: Run, order: Order) -> Sequence[Outcome]:
        def regain(unit: Unit) -> Outcome:
            return self._timed("regain resources", lambda: self._regain_all(unit, order))

        def body(unit: Unit) -> Outcome:
            return self._timed("undo design", lambda: self._undesign_all(unit, order))

        return [
            run.unit("inventory", "regain resources", regain),
            run.unit("provisioning", "undo design", body),
        ]

    def _regain_all(self, unit: Unit, order: Order) -> str:
        """A change that was proved has given its former addresses back; they are needed before the undo."""
        changed = [item for item in _designed_items(order) if item.before is not None]
        for item in changed:
            self._network.regain(unit, item.service_id, _resources_before(item))
        return "former resources held" if changed else "nothing to regain"

    def _undesign_all(self, unit: Unit, order: Order) -> str:
        self._services.withdraw(unit, rules.request_key(order.id), order.reason or "order undone")
        cause = rules.undo_cause(order)
        for item in order.items:
            if item.action is ItemAction.NO_CHANGE:
                continue
            service = self._services_reads.service(item.service_id)
            if service is None or service.state is ServiceState.CEASED:
                continue  # never designed, or past the point of no return: its addresses may be others' now
            if item.action is ItemAction.ADD:
                self._services.set_admission(unit, item.service_id, Admission.NONE, cause)
                continue
            before: Mapping[str, Any] = item.before or {}
            admission = rules.admission_of(before["status"])
            self._services.set_admission(unit, item.service_id, admission, cause)
            if item.action is ItemAction.MODIFY and item.target_status is None:
                self._design(
                    unit,
                    order,
                    item,
                    OfferingId(UUID(before["offering_id"])),
                    before["characteristics"],
                    self._held(item),
                    cause,
                )
        return "desired state as before"

    def ceased(self, order: Order) -> Sequence[OrderItemId]:
        """Items that ended a service for good: nothing of it is left on the network to come back to."""
        found = [item for item in order.items if item.action is ItemAction.DELETE]
        views = {item.id: self._services_reads.service(item.service_id) for item in found}
        return [item_id for item_id, view in views.items() if view and view.state is ServiceState.CEASED]

    def unrealise(self, run: Run, order: Order) -> Sequence[Outcome]:
        back = self.undesign(run, order)
        return [*back, self._until_done(run, "undo realise", order, check_cancel=False)]

    # --- inside -------------------------------------------------------------------------------------------

    def _design(
        self,
        unit: Unit,
        order: Order,
        item: Item,
        offering_id: OfferingId,
        characteristics: Mapping[str, str],
        reservation: Reservation,
        cause: Cause,
    ) -> int:
        return self._services.design(
            unit,
            ServiceRequest(
                service_id=item.service_id,
                product_id=item.product_id,
                customer_id=order.customer_id,
                account_id=order.account_id,
                address_id=order.address_id,
                spec=self._offering(offering_id).service,
                characteristics=characteristics,
            ),
            reservation,
            cause,
        )

    def _held(self, item: Item) -> Reservation:
        held = self._network_reads.reservation(item.service_id)
        if held is None:
            raise InvalidInput(
                "the service holds no resources", field="reserve", remedy="retry the order from the start"
            )
        return held

    def _offering(self, offering_id: OfferingId) -> catalog.OfferingView:
        offering = self._offers.offering(offering_id)
        if offering is None:
            raise InvalidInput(f"offering {offering_id} is gone from the catalog", field="offering")
        return offering

    def _waits(self, name: str, why: ParkedFor, detail: str) -> Outcome:
        return {**self._timed(name, lambda: detail), "ok": False, "parked": why.value}

    def _timed(self, name: str, body: Callable[[], str]) -> Outcome:
        started_at, started = self._clock.now(), time.perf_counter()
        detail = body()
        return {
            "name": name,
            "started_at": started_at.isoformat(),
            "ms": (time.perf_counter() - started) * 1000,
            "device_ms": 0.0,
            "ok": True,
            "detail": detail,
            "transient": False,
            "cancelled": False,
            "parked": "",
        }


STEPS: tuple[SagaStep, ...] = (
    SagaStep("reserve", Fulfilment.reserve, Fulfilment.unreserve),
    SagaStep("design", Fulfilment.design, Fulfilment.undesign),
    SagaStep("realise", Fulfilment.realise, Fulfilment.unrealise),
)
"""The saga before its last step, `complete`, which has no undo: it refuses when somebody cancelled."""


def _designed_items(order: Order) -> list[Item]:
    """Items whose service gets a (new) design: sold, or its plan or options changed."""
    return [
        item
        for item in order.items
        if item.action is ItemAction.ADD or (item.action is ItemAction.MODIFY and item.target_status is None)
    ]


def _resources_before(item: Item) -> Mapping[str, str]:
    before: Mapping[str, Any] = item.before or {}
    return dict(before.get("resources", {}))


def _describe(reservation: Reservation) -> str:
    return ", ".join(
        f"{kind} {value}" for kind, value in sorted(reservation.resources.items()) if kind != "circuit_id"
    )


def _proof(done: Realisation) -> str:
    parts = [
        f"{outcome.element} {'changed' if outcome.changed else 'unchanged'}"
        f"{', verified' if outcome.verified else ''} in {outcome.device_ms:.0f} ms"
        for outcome in done.outcomes
    ]
    return ", ".join(parts) + (f" ({done.error})" if done.error else "")


def _step_view(outcome: Outcome, attempt: int) -> StepView:
    return StepView(
        name=outcome["name"],
        attempt=attempt,
        started_at=datetime.fromisoformat(outcome["started_at"]),
        ms=outcome["ms"],
        device_ms=outcome["device_ms"],
        ok=outcome["ok"],
        detail=outcome["detail"],
    )


def workflows(fulfilment: Fulfilment) -> Sequence[Workflow]:
    orders = fulfilment.orders

    def fulfil(run: Run, order_id: str, attempt_text: str) -> None:
        order = orders.loaded(OrderId(UUID(order_id)))
        with telemetry.bind(order=order.number):
            _go_forward(run, order, int(attempt_text))

    def undo(run: Run, order_id: str, attempt_text: str) -> None:
        order = orders.loaded(OrderId(UUID(order_id)))
        with telemetry.bind(order=order.number):
            _go_back(run, order, int(attempt_text))

    def _go_forward(run: Run, order: Order, attempt: int) -> None:
        waits = any(task.blocks == "activation" for task in orders.tasks(order.id))
        done: list[StepView] = []
        for step in STEPS:
            if step.name in order.skipped:
                continue
            if step.name == "realise" and waits:
                stop = run.unit("orders", "tasks", orders.wait_for_tasks, order.id, attempt, done)
                if stop:
                    return
                done = []
            try:
                outcome = step.do(fulfilment, run, order)
            except INTERRUPTS:
                raise
            except Exception as error:  # noqa: BLE001  whatever it is, a person must see it
                _fall_out(run, order, attempt, step.name, _reason(error), done)
                return
            if outcome["cancelled"]:
                break
            done.append(_step_view(outcome, attempt))
            log.info("order_step", step=step.name, ok=outcome["ok"], ms=round(outcome["ms"], 3))
            if outcome["parked"]:
                _park(run, order, attempt, outcome, done)
                return
            if not outcome["ok"]:
                _fall_out(run, order, attempt, step.name, outcome["detail"], done)
                return
        try:
            state = run.unit("orders", "complete", orders.complete, order.id, attempt, done)
        except INTERRUPTS:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, a person must see it
            _fall_out(run, order, attempt, "complete", _reason(error), done)
            return
        metrics.orders_completed.labels(state.value).inc()
        if state is OrderState.PENDING_CANCELLATION:
            _go_back(run, order, attempt)

    def _go_back(run: Run, order: Order, attempt: int) -> None:
        done: list[StepView] = []
        for step in reversed(STEPS):
            try:
                outcomes = step.undo(fulfilment, run, order)
            except INTERRUPTS:
                raise
            except Exception as error:  # noqa: BLE001  whatever it is, a person must see it
                _fall_out(run, order, attempt, "undo", _reason(error), done)
                return
            done.extend(_step_view(outcome, attempt) for outcome in outcomes)
            if outcomes[-1]["parked"]:
                _park(run, order, attempt, outcomes[-1], done)
                return
            if not all(outcome["ok"] for outcome in outcomes):
                _fall_out(run, order, attempt, "undo", outcomes[-1]["detail"], done)
                return
        run.unit("orders", "undone", orders.undone, order.id, attempt, done, fulfilment.ceased(order))

    def _park(run: Run, order: Order, attempt: int, outcome: Outcome, done: Sequence[StepView]) -> None:
        log.warning("order_parked", step=outcome["name"], waits_for=outcome["parked"])
        why = ParkedFor(outcome["parked"])
        run.unit("orders", "park", orders.park, order.id, attempt, why, outcome["detail"], done)

    def _fall_out(
        run: Run, order: Order, attempt: int, step: str, reason: str, done: Sequence[StepView]
    ) -> None:
        log.warning("order_fell_out", step=step, reason=reason)
        run.unit("orders", "fall out", orders.fall_out, order.id, attempt, step, reason, done)

    return [
        Workflow(name=FULFIL, function=fulfil, queue="orders", logged=_LOGGED),
        Workflow(name=UNDO, function=undo, queue="orders", logged=_LOGGED),
    ]


class Resumption:
    """Lets orders go on that waited for the brake or a freeze and need not wait any more. It asks how things
    are instead of trusting to hear of it: an order that came to wait too late is seen too. Takes a page of
    orders at a time, in their order."""

    def __init__(self, orders: Orders, services: provisioning.Reads, realiser: provisioning.Realise) -> None:
        self._orders = orders
        self._services = services
        self._realiser = realiser
        self._after = 0

    def resume(self, runtime: Runtime) -> int:
        """Called by the clock; returns how many went on or were cancelled."""
        page = self._orders.parked(after=self._after, limit=_PARKED_PAGE)
        self._after = page[-1].n if len(page) == _PARKED_PAGE else 0
        held = {hold.cause.key for hold in self._services.holds()} if page else set()
        moved = 0
        for parked in page:
            act = self._next(parked, held)
            if act is not None:
                moved += 1
                with runtime.unit("orders", "clock") as unit:
                    act(unit)
        return moved

    def _next(self, parked: Parked, held: Set[str]) -> Callable[[Unit], None] | None:
        if parked.why is ParkedFor.FREEZE:
            order = self._orders.loaded(parked.order_id)
            if self._realiser.frozen([item.service_id for item in order.items]):
                return None
            return partial(self._orders.resume, parked=parked)
        key = rules.request_key(parked.order_id)
        hold = None if key in held else self._services.hold_of(key)
        if key in held or (hold is not None and hold.state is HoldState.HELD):
            return None
        if hold is None or hold.state is HoldState.RELEASED:
            return partial(self._orders.resume, parked=parked)
        reason = f"{hold.state.value} by {hold.decided_by}: {hold.decision_reason}"
        return partial(self._orders.cancel, order_id=parked.order_id, reason=reason)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TurnupError) else f"{type(error).__name__}: {error}"

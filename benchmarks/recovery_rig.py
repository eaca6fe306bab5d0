"""An installation whose processes are killed or stopped at named points, and what must hold afterwards.

Kill points come from the declarations themselves: the order saga's steps, the elements it touches, the bill
run's workflows, and every transaction of the API. For each, a victim is sent to its death (SIGKILL) or into
a coma (SIGSTOP, woken again when others have done its work); another process takes over; then everything is
counted, on the devices and in the books.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import psutil
import yaml
from sqlalchemy import text

from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import write_isp
from turnup.bss.billing.service.runs import DRAFT_SHARD, NUMBER_RUN, POST_SHARD
from turnup.bss.orders.service import FULFIL, UNDO
from turnup.bss.orders.workflows import STEPS
from turnup.contracts.crm import NewAddress, NewCustomer
from turnup.contracts.orders import ItemAction, NewOrder, NewOrderItem, OrderState
from turnup.kernel.ids import AccountId, OrderId, ProductId, ServiceId, new_id
from turnup.runtime import auth

LEASE_S = 2.0
PATIENCE_S = 120.0
OVER = (OrderState.COMPLETED, OrderState.CANCELLED, OrderState.FAILED, OrderState.HELD)
BILL_STEPS = {DRAFT_SHARD: "draft", NUMBER_RUN: "number", POST_SHARD: "post"}
LEASE_LOST = 70


def order_points() -> list[str]:
    """Every place an order for a new line passes."""
    steps = [f"{FULFIL}.{name}.{at}" for name in (*(s.name for s in STEPS), "complete") for at in _AROUND]
    return [
        *steps,
        "provisioning.intended",
        *(f"element.{role}.{at}_apply" for role in _roles() for at in ("before", "after")),
        "provisioning.applied",
    ]


def _roles() -> list[str]:
    """What kinds of element the ISP of these trials has."""
    network = yaml.safe_load((examples() / "isp" / "network.yaml").read_text(encoding="utf-8"))
    return sorted({element["role"] for element in network["elements"]})


def undo_points() -> list[str]:
    """Every place the undo of an order passes."""
    names = [*(f"undo {step.name}" for step in reversed(STEPS)), "undone"]
    return [f"{UNDO}.{name}.{at}" for name in names for at in _AROUND]


def bill_points() -> list[str]:
    return [f"{workflow}.{step}.{at}" for workflow, step in BILL_STEPS.items() for at in _AROUND]


def edge_points(component: str) -> list[str]:
    """Around the commit of a request's only transaction."""
    return [f"unit.{component}.flushed", f"unit.{component}.committed"]


_AROUND = ("before", "after", "done")


@dataclass(frozen=True, slots=True)
class Trial:
    """One point, tried. `lost` and `doubled` say what was found; `problems` what kept it from being tried."""

    point: str
    how: str
    seconds: float
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.problems)


@dataclass(slots=True)
class Verdict:
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def count(self, what: str, found: int, wanted: int) -> None:
        if found < wanted:
            self.lost.append(f"{what}: {found} of {wanted}")
        if found > wanted:
            self.doubled.append(f"{what}: {found} instead of {wanted}")


class Zygote:
    """The process the installation's processes are forked from; see recovery_zygote."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.recovery_zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )

    def start(self, name: str, log: Path, environment: Mapping[str, str]) -> "Child":
        request = {"op": "start", "name": name, "log": str(log), "environment": dict(environment)}
        return Child(self, int(self.ask(request)))

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Child:
    """One forked process."""

    zygote: Zygote
    pid: int

    def poll(self) -> int | None:
        """Its exit code (negative: the signal), None while it lives."""
        code: int | None = self.zygote.ask({"op": "poll", "pid": self.pid})
        return code


class Rig:
    """`with Rig(folder) as rig:`, then trials. Everything it starts ends with it."""

    def __init__(self, folder: Path) -> None:
        self._cleanup = ExitStack()
        self.stand = Stand(
            folder, {"lease_seconds": str(LEASE_S), "worker_concurrency": "4", "database_pool_size": "8"}
        )
        self._zygote: Zygote | None = None
        self._processes: list[Child] = []
        self._account = AccountId(new_id())
        self.live: list[ServiceId] = []
        self._token = ""
        self.spoiled = False
        """A trial went wrong: what it left behind would be found again by all that follow."""

    def __enter__(self) -> Self:
        self._cleanup.enter_context(self.stand)
        self._cleanup.callback(self._end_processes)
        stand = self.stand
        stand.start_database()
        stand.start_lab()
        with tempfile.TemporaryDirectory() as folder:
            isp, now = Path(folder), stand.house.runtime.clock.now()
            write_isp(isp, examples() / "isp", stand.lab_process.endpoints, [], now.date())
            stand.house.importer.load_catalog(isp / "catalog.yaml")
            stand.house.importer.load_policies(isp / "policies.yaml")
            stand.house.importer.load_network(isp / "network.yaml")
        with stand.house.database.engine.begin() as connection:
            self._token = auth.issue_token(connection, "recovery", ["*"], now=now)
        self._account = self.new_account()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    # --- processes ----------------------------------------------------------------------------------------

    def start(self, name: str, **environment: str) -> "Child":
        """A process of the installation; `TURNUP_KILL_AT` and the like make it a victim."""
        log = self.stand.data_dir / "log" / f"{name}-{len(self._processes)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._zygote = self._zygote or Zygote()
        process = self._zygote.start(name, log, {**self.stand.environment, **environment})
        self._processes.append(process)
        return process

    def end(self, process: "Child") -> None:
        """Ends as processes of this house may: at once."""
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            self._wait(lambda: process.poll() is not None)

    def _end_processes(self) -> None:
        for process in self._processes:
            self.end(process)
        if self._zygote is not None:
            self._zygote.stop()

    def _sentence(self, point: str, how: str) -> dict[str, str]:
        """Struck once only: a woken process that passes the point again goes on."""
        return {
            "TURNUP_KILL_AT" if how == "kill" else "TURNUP_STOP_AT": point,
            "TURNUP_FAULT_MARK": str(self.stand.data_dir / f"struck-{new_id()}"),
        }

    def _struck(self, victim: "Child", how: str) -> bool:
        """The victim is dead, or stopped."""
        if how == "kill":
            return victim.poll() == -signal.SIGKILL
        try:
            return psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    # --- one trial ----------------------------------------------------------------------------------------

    def try_workflow(
        self, point: str, how: str, begin: Callable[[], Callable[[], bool]], check: Callable[[Verdict], None]
    ) -> Trial:
        """`begin` sets the work going and returns what tells that it is over."""
        started, verdict = time.monotonic(), Verdict()
        victim = self.start("worker", **self._sentence(point, how))
        over = begin()
        survivor = None
        self._wait(lambda: self._struck(victim, how) or victim.poll() is not None)
        if not self._struck(victim, how):
            verdict.problems.append(f"the point was never reached, the victim ended with {victim.poll()}")
        else:
            survivor, struck = self.start("worker"), time.monotonic()
            if not self._wait(over):
                verdict.lost.append("it was never finished")
            if how == "stop":
                # it may have been struck when all was done: others must have taken over before it wakes
                time.sleep(max(0.0, struck + 2 * LEASE_S - time.monotonic()))
                self._wake(victim, verdict)
            self._settle(verdict)
            check(verdict)
        for process in (victim, survivor):
            if process is not None:
                self.end(process)
        return self._trial(point, how, started, verdict)

    def try_request(
        self,
        point: str,
        how: str,
        send: Callable[[httpx.Client], httpx.Response],
        check: Callable[[Verdict], None],
    ) -> Trial:
        """The API dies on a request; the client repeats it, word for word, to another."""
        started, verdict = time.monotonic(), Verdict()
        port = self.stand.port
        victim = self.start("server", **self._sentence(point, how))
        with self._client(port, timeout_s=3.0 if how == "stop" else 30.0) as client:
            try:
                send(client)
                verdict.problems.append("the point was never reached")
            except httpx.TransportError:
                self._wait(lambda: self._struck(victim, how), patience_s=10)
        if not self._struck(victim, how):
            verdict.problems.append(f"the API was not struck, it ended with {victim.poll()}")
        survivor = self.start("server", TURNUP_HTTP_PORT=str(port + 1))
        with self._client(port + 1, timeout_s=30.0) as client:
            answer = send(client)
            if answer.is_error:
                verdict.lost.append(f"the repetition was refused: {answer.status_code} {answer.text[:200]}")
            if how == "stop":
                os.kill(victim.pid, signal.SIGCONT)
                time.sleep(1.0)
            again = send(client)
            if again.is_error:
                verdict.lost.append(f"another repetition was refused: {again.text[:200]}")
        check(verdict)
        for process in (victim, survivor):
            self.end(process)
        return self._trial(point, how, started, verdict)

    def _wake(self, victim: "Child", verdict: Verdict) -> None:
        """A worker that finds its lease gone ends at once."""
        os.kill(victim.pid, signal.SIGCONT)
        if not self._wait(lambda: victim.poll() is not None, patience_s=20):
            verdict.problems.append("the woken worker went on living")
        elif victim.poll() != LEASE_LOST:
            verdict.problems.append(f"the woken worker ended with {victim.poll()}")

    def _settle(self, verdict: Verdict) -> None:
        try:
            self.stand.settle()
        except Exception as error:  # noqa: BLE001  whatever it is belongs in the report
            verdict.problems.append(f"not quiet: {error}")

    def _trial(self, point: str, how: str, started: float, verdict: Verdict) -> Trial:
        self.spoiled = self.spoiled or bool(verdict.lost or verdict.doubled or verdict.problems)
        return Trial(
            point,
            how,
            round(time.monotonic() - started, 1),
            tuple(verdict.lost),
            tuple(verdict.doubled),
            tuple(verdict.problems),
        )

    def _wait(self, check: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> bool:
        until = time.monotonic() + patience_s
        while not check():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    @contextmanager
    def _client(self, port: int, *, timeout_s: float) -> Iterator[httpx.Client]:
        """A client of the API on this port, once it answers."""
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            timeout=timeout_s,
            headers={"Authorization": f"Bearer {self._token}"},
        ) as client:
            self._wait(lambda: _ready(client), patience_s=60)
            yield client

    # --- orders -------------------------------------------------------------------------------------------

    def new_account(self) -> AccountId:
        house = self.stand.house
        with house.runtime.unit("crm", "recovery") as unit:
            return house.crm.open_customer(
                unit,
                NewCustomer(
                    name="Jane Roe",
                    address=NewAddress(street="Weg 1", postcode="10115", city="Berlin", country="DE"),
                    time_zone="UTC",
                ),
            ).account_id

    def submit(self, offering: str = "fibre-300-50") -> OrderId:
        house = self.stand.house
        with house.runtime.unit("orders", "recovery") as unit:
            return house.orders.submit(
                unit,
                NewOrder(
                    account_id=self._account,
                    items=(NewOrderItem(action=ItemAction.ADD, offering=offering),),
                    site="pop1",
                    idempotency_key=str(new_id()),
                ),
            )

    def state(self, order_id: OrderId) -> OrderState:
        view = self.stand.house.orders.order(order_id)
        assert view is not None
        return view.state

    def try_order(self, point: str, how: str) -> Trial:
        """A new line is ordered, and whoever works on it is struck at this point."""
        orders: list[OrderId] = []

        def begin() -> Callable[[], bool]:
            orders.append(self.submit())
            return lambda: self.state(orders[0]) in OVER

        return self.try_workflow(point, how, begin, lambda verdict: self.check_sale(orders[0], verdict))

    def try_undo(self, point: str, how: str) -> Trial:
        """An order that waits for a technician is cancelled: all that was done is undone."""
        orders: list[OrderId] = []

        def begin() -> Callable[[], bool]:
            order_id = self.submit("fibre-300-50-install")
            orders.append(order_id)
            self._wait(lambda: self.state(order_id) is OrderState.PENDING)
            house = self.stand.house
            with house.runtime.unit("orders", "recovery") as unit:
                house.orders.cancel(unit, order_id, "changed her mind")
            return lambda: self.state(order_id) in OVER

        return self.try_workflow(point, how, begin, lambda verdict: self.check_undone(orders[0], verdict))

    def try_submission(self, point: str, how: str) -> Trial:
        """The API is struck while it takes an order; the client repeats it under the same key."""
        key = str(new_id())
        body = {
            "billingAccount": {"id": str(self._account)},
            "servingSite": "pop1",
            "requestedStartDate": "2099-01-01T00:00:00Z",
            "productOrderItem": [{"action": "add", "productOffering": {"id": "fibre-300-50"}}],
        }

        def send(client: httpx.Client) -> httpx.Response:
            return client.post(
                "/tmf-api/productOrderingManagement/v5/productOrder",
                json=body,
                headers={"Idempotency-Key": key},
            )

        def check(verdict: Verdict) -> None:
            found = self.count(
                "SELECT count(*) FROM orders.product_order WHERE idempotency_key = :key", key=key
            )
            verdict.count("orders", found, 1)

        return self.try_request(point, how, send, check)

    def check_sale(self, order_id: OrderId, verdict: Verdict) -> None:
        house = self.stand.house
        order = house.orders.order(order_id)
        assert order is not None
        if order.state is not OrderState.COMPLETED:
            verdict.lost.append(f"the order is {order.state}: {order.error}")
            return
        (item,) = order.items
        product = house.orders.product(item.product_id)
        verdict.count("active products", int(product is not None and product.status == "active"), 1)
        verdict.count("price agreements", self.events("orders.PriceAgreed", item.product_id), 1)
        verdict.count(
            "completions",
            self.count(
                """SELECT count(*) FROM runtime.event WHERE type = 'orders.OrderStateChanged'
                   AND aggregate_id = :id AND payload->>'state' = 'completed'""",
                id=order_id,
            ),
            1,
        )
        verdict.count(
            "first configurations", self.events("provisioning.ServiceConfigured", item.service_id), 1
        )
        self.live.append(item.service_id)
        self._check_network(verdict)

    def check_undone(self, order_id: OrderId, verdict: Verdict) -> None:
        house = self.stand.house
        order = house.orders.order(order_id)
        assert order is not None
        if order.state is not OrderState.CANCELLED:
            verdict.lost.append(f"the order is {order.state}: {order.error}")
            return
        (item,) = order.items
        product = house.orders.product(item.product_id)
        verdict.count("products left", int(product is None or product.status != "cancelled"), 0)
        verdict.count("price agreements", self.events("orders.PriceAgreed", item.product_id), 0)
        held = house.inventory.reservation(item.service_id)
        verdict.count("resources still held", len(held.resources) if held else 0, 0)
        self._check_network(verdict)

    def _check_network(self, verdict: Verdict) -> None:
        """Exactly the services that were sold are on every device, in AAA and in the pools, each once."""
        stand, wanted = self.stand, Counter(str(service) for service in self.live)
        on_olts = self._stanzas("service", "olt1", "olt2")
        on_bng = self._stanzas("subscriber", "bng1")
        _compare("services on the OLTs", on_olts, wanted, verdict)
        _compare("subscribers on the BNG", on_bng, wanted, verdict)
        _compare("subscribers in AAA", self._aaa_keys(), wanted, verdict)
        held = [h for h in stand.house.inventory.reservations().values() if h.status != "released"]
        verdict.count("reservations", len(held), len(self.live))
        for kind in ("ipv4", "ipv6_pd", "ipv6_wan", "circuit_id"):
            values = {reservation.resources.get(kind) for reservation in held}
            verdict.count(f"different values of {kind}", len(values), len(self.live))
        used = {pool.code: pool.used for pool in stand.house.inventory.pools()}
        for pool in ("dynamic4", "pd6", "wan6"):
            verdict.count(f"taken from {pool}", used[pool], len(self.live))
        for element in stand.house.inventory.elements():
            if left := stand.house.configuration.differences(element.id):
                verdict.lost.append(f"{element.code} differs for {len(left)} services")

    def _stanzas(self, kind: str, *devices: str) -> Counter[str]:
        """Keys of the stanzas the devices really hold, whatever they say; one device prints a stanza on many
        lines, two devices may hold the same key."""
        return Counter(
            key
            for device in devices
            for key in {
                line.split()[2]
                for line in self.stand.lab.running(device=device)
                if line.startswith(f"set {kind} ")
            }
        )

    def _aaa_keys(self) -> Counter[str]:
        return Counter(
            str(service)
            for element in self.stand.house.inventory.elements("aaa")
            for service in self.stand.house.configuration.actual(element.id)
        )

    # --- bills and payments -------------------------------------------------------------------------------

    def start_billing(self) -> None:
        """The services sold so far are accepted; a worker tells billing."""
        house = self.stand.house
        while len(self.live) < 2:
            self._sell()
        for service_id in self.live:
            with house.runtime.unit("provisioning", "recovery") as unit:
                house.provisioning.accept(unit, service_id, unit.now)
        worker = self.start("worker")
        self.stand.settle()
        self.end(worker)

    def _sell(self) -> None:
        worker, order_id = self.start("worker"), self.submit()
        self._wait(lambda: self.state(order_id) in OVER)
        self.stand.settle()
        self.end(worker)
        view = self.stand.house.orders.order(order_id)
        assert view is not None
        self.live.append(view.items[0].service_id)

    def try_bill_run(self, point: str, how: str) -> Trial:
        """A month passes and is billed; whoever bills is struck at this point."""
        house = self.stand.house
        today = house.runtime.clock.now().date()
        bill_date = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        target = datetime(bill_date.year, bill_date.month, 1, 2, tzinfo=UTC)
        self.stand.pass_time(target - house.runtime.clock.now())
        before = len(house.billing.invoices(self._account))

        def begin() -> Callable[[], bool]:
            with house.runtime.unit("billing", "recovery") as unit:
                run_id = house.billing.start_run(unit, bill_date)

            def over() -> bool:
                progress = house.billing.run(run_id)
                return progress is not None and progress.state == "done"

            return over

        def check(verdict: Verdict) -> None:
            invoices = house.billing.invoices(self._account)
            verdict.count("invoices", len(invoices) - before, 1)
            dated = [invoice for invoice in invoices if invoice.invoice_date == bill_date]
            verdict.count("invoices of this date", len(dated), 1)
            self._check_ledger(verdict)

        return self.try_workflow(point, how, begin, check)

    def try_payment(self, point: str, how: str) -> Trial:
        """The API is struck while it books a payment; the client repeats it under the same reference."""
        house, reference = self.stand.house, f"wire {new_id()}"
        before = house.billing.balance_minor(self._account)
        body = {
            "account": str(self._account),
            "amount": "10.00",
            "reference": reference,
            "received_on": house.runtime.clock.now().date().isoformat(),
        }

        def send(client: httpx.Client) -> httpx.Response:
            return client.post("/turnup/v1/payments", json=body)

        def check(verdict: Verdict) -> None:
            booked = self.count(
                "SELECT count(*) FROM billing.payment WHERE reference = :reference", reference=reference
            )
            verdict.count("payments", booked, 1)
            paid = before - house.billing.balance_minor(self._account)
            verdict.count("cents off the balance", paid, 1000)
            self._check_ledger(verdict)

        return self.try_request(point, how, send, check)

    def _check_ledger(self, verdict: Verdict) -> None:
        """Numbers without gaps, every document booked once, every transaction balanced."""
        numbers = self.rows("SELECT number FROM billing.invoice_number ORDER BY number")
        if [row[0] for row in numbers] != list(range(1, len(numbers) + 1)):
            verdict.lost.append("invoice numbers have gaps")
        verdict.count(
            "numbers", len(numbers), self.count("SELECT count(*) FROM billing.invoice WHERE kind = 'bill'")
        )
        unbalanced = self.rows(
            "SELECT source_id FROM billing.ledger_entry GROUP BY source_id HAVING sum(amount_minor) <> 0"
        )
        verdict.count("unbalanced transactions", len(unbalanced), 0)
        owed = self.rows("SELECT coalesce(sum(total_minor), 0) FROM billing.invoice")[0][0]
        paid = self.rows("SELECT coalesce(sum(amount_minor), 0) FROM billing.payment")[0][0]
        balance = self.stand.house.billing.balance_minor(self._account)
        verdict.count("cents in the ledger", balance, int(owed) - int(paid))

    # --- looking ------------------------------------------------------------------------------------------

    def events(self, kind: str, aggregate: ProductId | ServiceId | UUID) -> int:
        return self.count(
            "SELECT count(*) FROM runtime.event WHERE type = :kind AND aggregate_id = :id",
            kind=kind,
            id=aggregate,
        )

    def count(self, query: str, **parameters: object) -> int:
        return int(self.rows(query, **parameters)[0][0])

    def rows(self, query: str, **parameters: object) -> Sequence[Any]:
        with self.stand.house.database.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()


def _compare(what: str, found: Counter[str], wanted: Counter[str], verdict: Verdict) -> None:
    if missing := wanted - found:
        verdict.lost.append(f"{what}: {len(missing)} missing")
    if extra := found - wanted:
        verdict.doubled.append(f"{what}: {len(extra)} too many")


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False

"""An ISP that can be stopped, sent back in time and started again: real engine, real processes, the lab's
devices. The network goes on whatever happens to the books, as it does in life.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from sqlalchemy import text

from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import write_isp
from turnup.app.engine import start_engine
from turnup.app.house import House, assemble
from turnup.app.migrate import migrate
from turnup.app.processes import Processes
from turnup.contracts.crm import NewAddress, NewCustomer
from turnup.contracts.orders import ItemAction, NewOrder, NewOrderItem, OrderState
from turnup.kernel.ids import AccountId, OrderId, ServiceId, new_id
from turnup.runtime.embedded import state
from turnup.runtime.settings import Settings

PATIENCE_S = 60.0
OVER = (OrderState.COMPLETED, OrderState.CANCELLED, OrderState.FAILED, OrderState.HELD)
BOOKS = {
    "orders": "SELECT order_id, state FROM orders.product_order",
    "products": "SELECT product_id, status, offering_code FROM orders.product",
    "services": "SELECT service_id, state, admission, characteristics FROM provisioning.service",
    "payments": "SELECT id, account_id, amount_minor FROM billing.payment",
    "ledger": "SELECT account_id, sum(amount_minor) FROM billing.ledger_entry GROUP BY account_id",
    "customers": "SELECT customer_id FROM crm.customer",
    "resources": "SELECT * FROM inventory.holding",
}


class Isp:
    """`with Isp() as isp:`, then sell; `stop` and `start` the installation, the lab goes on."""

    def __init__(self, **settings: str) -> None:
        # not pytest's tmp_path: it is closed to the account that runs PostgreSQL when we are root
        folder = Path(tempfile.gettempdir()) / f"turnup-restore-{new_id().hex[-8:]}"
        self.stand = Stand(folder, {"lease_seconds": "3", "database_pool_size": "8", **settings})
        self._cleanup = ExitStack()
        self.account = AccountId(new_id())
        self._processes: Processes | None = None
        self._house: House | None = None

    @property
    def house(self) -> House:
        return self._house or self.stand.house

    @property
    def settings(self) -> Settings:
        return self.stand.house.settings

    def __enter__(self) -> Self:
        self._cleanup.enter_context(self.stand)
        self.stand.start_database()
        self.stand.start_lab()
        self._cleanup.callback(self.stop)
        with tempfile.TemporaryDirectory() as folder:
            isp, now = Path(folder), self.house.runtime.clock.now()
            write_isp(isp, examples() / "isp", self.stand.lab_process.endpoints, [], now.date())
            self.house.importer.load_catalog(isp / "catalog.yaml")
            self.house.importer.load_policies(isp / "policies.yaml")
            self.house.importer.load_network(isp / "network.yaml")
        self.account = self.new_account()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    # --- the installation ---------------------------------------------------------------------------------

    def start_worker(self) -> None:
        self._processes = Processes(self.stand.environment, self.stand.data_dir / "log", ["worker"])
        self._processes.start()

    def stop_worker(self) -> None:
        if self._processes is not None:
            self._processes.stop()
            self._processes = None

    def stop(self) -> None:
        """As an operator stops it; the lab goes on."""
        self.stop_worker()
        self.house.close()
        pid = state(self.stand.data_dir).supervisor_pid
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            self.wait(lambda: state(self.stand.data_dir).supervisor_pid is None, "PostgreSQL stops")

    def start(self) -> None:
        """Engine and house again; no worker yet."""
        engine = start_engine(self.settings, until_pid=os.getpid())
        migrate(engine)
        self._house = assemble(self.settings, engine, process="isp")

    @staticmethod
    def wait(check: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        until = time.monotonic() + patience_s
        while not check():
            assert time.monotonic() < until, f"still waiting until {what}"
            time.sleep(0.05)

    # --- business -----------------------------------------------------------------------------------------

    def new_account(self) -> AccountId:
        with self.house.runtime.unit("crm", "user:anna") as unit:
            address = NewAddress(street="Weg 1", postcode="10115", city="Berlin", country="DE")
            opened = self.house.crm.open_customer(
                unit, NewCustomer(name="Jane Roe", address=address, time_zone="UTC")
            )
        return opened.account_id

    def publish_connector(self, name: str) -> None:
        """One that sends invoices; to nobody, as no worker finds it due."""
        document = yaml.safe_load((examples() / "connectors" / "invoices.yaml").read_text())
        with self.house.runtime.unit("mediation", "user:anna") as unit:
            self.house.connectors.publish(unit, {**document, "name": name})

    def made_files(self, name: str, number: int) -> None:
        """As if so many had gone out."""
        with self.house.database.engine.begin() as connection:
            connection.execute(
                text("UPDATE mediation.connector_state SET file_number = :n WHERE name = :name"),
                {"n": number, "name": name},
            )

    def submit(self, *items: NewOrderItem) -> OrderId:
        with self.house.runtime.unit("orders", "user:anna") as unit:
            wanted = NewOrder(
                account_id=self.account, items=items, site="pop1", idempotency_key=str(new_id())
            )
            return self.house.orders.submit(unit, wanted)

    def sell(self, offering: str = "fibre-300-50") -> ServiceId:
        return self.done(self.submit(NewOrderItem(action=ItemAction.ADD, offering=offering)))

    def change(self, service_id: ServiceId, offering: str) -> None:
        product = self.product_of(service_id)
        self.done(self.submit(NewOrderItem(action=ItemAction.MODIFY, product_id=product, offering=offering)))

    def cease(self, service_id: ServiceId) -> None:
        product = self.product_of(service_id)
        self.done(self.submit(NewOrderItem(action=ItemAction.DELETE, product_id=product)))

    def product_of(self, service_id: ServiceId) -> Any:
        service = self.house.provisioning.service(service_id)
        assert service is not None
        return service.product_id

    def done(self, order_id: OrderId) -> ServiceId:
        """Wait for an order; the service of its only item."""
        self.wait(lambda: self.state(order_id) in OVER, "the order is over")
        order = self.house.orders.order(order_id)
        assert order is not None
        assert order.state is OrderState.COMPLETED, order.error
        return order.items[0].service_id

    def state(self, order_id: OrderId) -> OrderState:
        order = self.house.orders.order(order_id)
        assert order is not None
        return order.state

    def pay(self, amount_minor: int, reference: str) -> None:
        with self.house.runtime.unit("billing", "user:anna") as unit:
            day = unit.now.date()
            self.house.billing.pay(unit, self.account, amount_minor, "EUR", reference, day)

    def bill(self) -> str:
        """Pass a month, bill it; the number of the newest invoice."""
        today = self.house.runtime.clock.now().date()
        bill_date = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        self.stand.pass_time(timedelta(days=(bill_date - today).days, hours=2))
        with self.house.runtime.unit("billing", "user:anna") as unit:
            run_id = self.house.billing.start_run(unit, bill_date)

        def over() -> bool:
            progress = self.house.billing.run(run_id)
            return progress is not None and progress.state == "done"

        self.wait(over, "the bill run is done")
        return self.house.billing.invoices(self.account)[-1].number

    def settle(self) -> None:
        self.stand.settle()

    # --- looking ------------------------------------------------------------------------------------------

    def rows(self, query: str) -> Sequence[Any]:
        with self.house.database.engine.connect() as connection:
            return connection.execute(text(query)).all()

    def books(self) -> dict[str, list[str]]:
        """Everything that a restore must bring back, as it is now."""
        return {name: sorted(str(tuple(row)) for row in self.rows(query)) for name, query in BOOKS.items()}

    def on_devices(self) -> set[str]:
        """What the devices themselves hold of services, line by line; without generations, which may rise."""
        return {
            f"{device} {line.partition(' generation ')[0]}"
            for device in ("olt1", "olt2", "bng1")
            for line in self.stand.lab.running(device=device)
            if line.startswith(("set service ", "set subscriber "))
        }

"""A small ISP to look at in the console: real engine, processes and lab; what its pages show has happened.

Jane Roe is online and was billed; Joe Bloggs' order was refused by his OLT and stopped; billing has forgotten
Ann Lee, which reconciliation found.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from turnup.app.demo.outside import lose_billing, router_password
from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import write_isp
from turnup.app.house import House
from turnup.contracts.crm import NewAddress, NewCustomer
from turnup.contracts.orders import ItemAction, NewOrder, NewOrderItem, OrderState, OrderView
from turnup.contracts.provisioning import ServiceView
from turnup.kernel.clock import business_date
from turnup.kernel.ids import AccountId, OrderId, new_id
from turnup.runtime.access import staff
from turnup.runtime.access.staff import access_unit

PASSWORD = "correct horse battery staple"
SERIAL, OTHER_SERIAL = "TRNPTEST0001", "TRNPTEST0002"
_OVER = (OrderState.COMPLETED, OrderState.CANCELLED, OrderState.FAILED, OrderState.HELD)
_PATIENCE_S = 60.0


class ConsoleIsp:
    """`with ConsoleIsp() as isp:`; staff are hired with the password of these tests."""

    def __init__(self) -> None:
        # not pytest's tmp_path: it is closed to the account that runs PostgreSQL when we are root
        folder = Path(tempfile.gettempdir()) / f"turnup-console-{new_id().hex[-8:]}"
        self.stand = Stand(folder, {"session_idle_minutes": "30"})
        self._cleanup = ExitStack()
        self.accounts: dict[str, AccountId] = {}
        self.service: ServiceView
        self.offline: ServiceView
        self.invoice = ""
        self.stopped: OrderView

    @property
    def house(self) -> House:
        return self.stand.house

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stand.port}"

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _build(self) -> None:
        self._cleanup.enter_context(self.stand)
        self.stand.start_database()
        self.stand.start_lab()
        self.stand.start_processes()
        self._load()
        for name, email, phone in (
            ("Jane Roe", "jane@mail.example", "+49 30 1234567"),
            ("Joe Bloggs", "joe@mail.example", "+49 151 7654321"),
            ("Ann Lee", None, None),
        ):
            self.accounts[name] = self._open(name, email, phone)
        self.service = self._put_online(self._sell("Jane Roe"), "jane", SERIAL)
        self.offline = self._put_online(self._sell("Ann Lee"), "ann", OTHER_SERIAL)
        self._bill()
        self.mislay(self.offline)
        self.stand.lab.unplug(name="ann")
        self.stopped = self.refuse_one()
        for name, role in (
            ("noc", "network"),
            ("sue", "support"),
            ("bill", "billing"),
            ("root", "administrator"),
        ):
            self.hire(name, role)

    def _load(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder, now = Path(name), self.house.runtime.clock.now()
            write_isp(folder, examples() / "isp", self.stand.lab_process.endpoints, [], now.date())
            self.house.importer.load_catalog(folder / "catalog.yaml")
            self.house.importer.load_policies(folder / "policies.yaml")
            self.house.importer.load_network(folder / "network.yaml")

    # --- people -------------------------------------------------------------------------------------------

    def hire(self, name: str, role: str, **more: Any) -> None:
        with access_unit(self.house.runtime, "cli:test") as unit:
            staff.grant(unit, name, [role], **more)
            staff.set_password(unit, name, PASSWORD)

    def _open(self, name: str, email: str | None, phone: str | None) -> AccountId:
        with self.house.runtime.unit("crm", "user:anna") as unit:
            address = NewAddress(street="Torstrasse 1", postcode="10119", city="Berlin", country="DE")
            new = NewCustomer(name=name, address=address, email=email, phone=phone, time_zone="Europe/Berlin")
            return self.house.crm.open_customer(unit, new).account_id

    # --- business -----------------------------------------------------------------------------------------

    def order(self, name: str, offering: str = "fibre-300-50") -> OrderId:
        with self.house.runtime.unit("orders", "user:anna") as unit:
            item = NewOrderItem(action=ItemAction.ADD, offering=offering)
            new = NewOrder(
                account_id=self.accounts[name], items=(item,), site="pop1", idempotency_key=str(new_id())
            )
            return self.house.orders.submit(unit, new)

    def ended(self, order_id: OrderId) -> OrderView:
        """As soon as it goes on by itself no more."""

        def over() -> OrderView | None:
            found = self.house.orders.order(order_id)
            return found if found is not None and found.state in _OVER else None

        return self.wait(over, f"order {order_id} ends")

    def refuse_one(self) -> OrderView:
        """An order that every OLT refuses; they tell the truth again afterwards."""
        olts = [each.code for each in self.house.inventory.elements("access")]
        for code in olts:
            self.stand.lab.lie(device=code, kind="refuse", count=20, on="commit")
        found = self.ended(self.order("Joe Bloggs"))
        for code in olts:
            self.stand.lab.clear_lies(device=code)
        assert found.state is OrderState.HELD, found
        return found

    def _sell(self, name: str) -> ServiceView:
        done = self.ended(self.order(name))
        assert done.state is OrderState.COMPLETED, done
        found = self.house.provisioning.service(done.items[0].service_id)
        assert found is not None
        return found

    def _put_online(self, service: ServiceView, cpe: str, serial: str) -> ServiceView:
        def now() -> ServiceView:
            found = self.house.provisioning.service(service.id)
            assert found is not None
            return found

        answer = self.stand.api.post(
            f"/turnup/v1/services/{service.id}/equipment", json={"ont_serial": serial}
        )
        assert answer.status_code == 200, answer.text
        self.wait(lambda: now().verified_generation == now().generation == 2, "the OLT knows the ONT")
        held = self.house.inventory.reservation(service.id)
        assert held is not None
        self.stand.lab.plug(
            name=cpe,
            at=held.resources["access_port"],
            serial=serial,
            username=service.login,
            password=router_password(self.stand.engine.aaa_url, service.login),
            down_kbps=9_000,
            up_kbps=1_000,
        )
        self.wait(lambda: now().facts.online, "her session is seen")
        self.stand.pass_time(timedelta(minutes=10))
        self.stand.lab.interim(username=service.login)
        self.wait(lambda: now().facts.traffic_seen_at, "her traffic is seen")
        return now()

    def _bill(self) -> None:
        self.stand.pass_time(timedelta(days=32))
        self.stand.lab.interim(username=self.service.login)
        self.stand.settle()
        today = business_date(self.house.runtime.clock.now(), "Europe/Berlin")
        with self.house.runtime.unit("billing", "user:anna") as unit:
            run_id = self.house.billing.start_run(unit, today)

        def done() -> bool:
            progress = self.house.billing.run(run_id)
            return progress is not None and progress.state == "done"

        self.wait(done, "the bill run is done")
        found = self.house.billing.invoices(self.accounts["Jane Roe"])[-1]
        assert found.number is not None
        self.invoice = found.number
        with self.house.runtime.unit("billing", "user:anna") as unit:
            self.house.billing.pay(
                unit, self.accounts["Jane Roe"], 1000, "EUR", f"part of {self.invoice}", today
            )

    def mislay(self, service: ServiceView) -> None:
        lose_billing(self.stand.engine.url, service.id)
        self.house.reconciler.run(repair=False)
        assert self.house.reconciler.findings.findings(), "nothing was found"

    @staticmethod
    def wait(check: Callable[[], Any], what: str) -> Any:
        until = time.monotonic() + _PATIENCE_S
        while not (found := check()):
            assert time.monotonic() < until, f"still waiting until {what}"
            time.sleep(0.05)
        return found

"""The whole house beside the real lab, for tests/peers and benchmarks.real_story: real orders, real packets.

Turnup runs as an operator runs it (embedded PostgreSQL, API, worker, collector); orders go through the public
API; what the network does is seen at the subscriber's end only. Needs root and `make peers`.
"""

import os
import secrets
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import psutil

from turnup.app.demo.real import network_document, write_network
from turnup.app.demo.stage import DemoFailed, expect, wait_until
from turnup.app.demo.stand import Stand, examples
from turnup.contracts.provisioning import ServiceState, ServiceView
from turnup.kernel.clock import business_date, start_of_day
from turnup.kernel.ids import AccountId, ServiceId
from turnup.lab.real import lab, plan
from turnup.lab.real.machine import inside, run
from turnup.lab.real.plan import Plan
from turnup.lab.real.subscriber import Subscriber
from turnup.lab.real.terminal import Terminal
from turnup.runtime.embedded import state

SITE = "pop9"
_ZONE = "Europe/Berlin"
_ORDERS = "/tmf-api/productOrderingManagement/v5/productOrder"
_CUSTOMERS = "/tmf-api/customer/v5/customer"
_ORDER_S = 60.0


class SoldService(ABC):
    """One service that was ordered, and the subscriber's end of its line."""

    site: str
    subscriber: Terminal

    def __init__(self, rig: "RealRig", account: AccountId, order: Mapping[str, Any]) -> None:
        item = order["productOrderItem"][0]
        self._rig = rig
        self.account = account
        self.product_id: str = item["product"]["id"]
        self.service_id = ServiceId(UUID(item["service"]["id"]))
        held = rig.stand.house.inventory.reservation(self.service_id)
        assert held is not None
        self.resources: Mapping[str, str] = dict(held.resources)
        self.elements = dict(held.elements)
        self.measurements = 0
        """Of goodput so far, those repeated included."""

    @property
    def view(self) -> ServiceView:
        found = self._rig.stand.house.provisioning.service(self.service_id)
        assert found is not None
        return found

    @property
    @abstractmethod
    def wan_address(self) -> str:
        """The address of her router in the WAN prefix."""

    @property
    def delegated_address(self) -> str:
        """The address her router puts on its own side of the delegated prefix."""
        return f"{self.resources['ipv6_pd'].partition('/')[0]}1"

    @abstractmethod
    def connect(self) -> None:
        """She plugs in her router; returns when it has addresses, a prefix and a way out."""

    def online(self) -> bool:
        """Both families reach the internet, IPv6 from the WAN address and from the delegated prefix."""
        return (
            self.subscriber.pings(plan.INTERNET4)
            and self.subscriber.pings(plan.INTERNET6, source=self.wan_address)
            and self.subscriber.pings(plan.INTERNET6, source=self.delegated_address)
        )

    def wait_online(self, timeout_s: float = 15.0) -> None:
        wait_until(self.online, "both families reach the internet", timeout_s=timeout_s)

    def goodput_ratios(self, down_kbps: int, up_kbps: int, *, seconds: int = 4) -> dict[str, float]:
        """Measured TCP goodput over the plan, by family and direction. A disturbed measurement (this machine
        does everything at once) is repeated; the best of three counts, as the plan is a promise of capacity
        and the shaper its ceiling; `measurements` says how many it took."""
        return {
            f"{name}_{'down' if down else 'up'}": self._ratio(
                address, down_kbps if down else up_kbps, down, seconds
            )
            for name, address in (("ipv4", plan.INTERNET4), ("ipv6", plan.INTERNET6))
            for down in (True, False)
        }

    def _ratio(self, address: str, plan_kbps: int, down: bool, seconds: int) -> float:
        best = 0.0
        for _ in range(3):
            measured = self.subscriber.throughput_bps(address, down=down, seconds=seconds)
            self.measurements += 1
            best = max(best, measured / (plan_kbps * 1000))
            if best >= 0.94:
                break
        return best


class Sold(SoldService):
    """By IPoE: her line is a port of the access gateway."""

    site = SITE
    subscriber: Subscriber

    def __init__(self, rig: "RealRig", account: AccountId, order: Mapping[str, Any]) -> None:
        super().__init__(rig, account, order)
        self.subscriber = Subscriber(int(self.resources["access_port"].rpartition("/p")[2]))

    @property
    def wan_address(self) -> str:
        return f"{self.resources['ipv6_wan'].partition('/')[0]}1"

    def connect(self) -> None:
        """DHCP on both families."""
        for family in (4, 6):
            self.subscriber.start_dhcp(family)
        wait_until(lambda: self.subscriber.lease(4), "she gets an IPv4 lease", timeout_s=60)
        wait_until(
            lambda: {"new_ip6_address", "new_ip6_prefix"} <= set(self.subscriber.lease(6)),
            "she gets an IPv6 address and a prefix",
            timeout_s=60,
        )
        self.wait_online(timeout_s=30)


class RealRig:
    """`with RealRig() as rig`: lab and installation up, catalog and network loaded."""

    def __init__(self, subscribers: int = 2, pppoe: int = 0) -> None:
        self._plan = Plan(subscribers, pppoe)
        self._cleanup = ExitStack()
        self.stand: Stand
        self.endpoints: Mapping[str, Any] = {}
        self.started: dict[str, float] = {}
        """Milliseconds of each part of the start."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def _start(self) -> None:
        began = time.perf_counter()
        self.endpoints = lab.up(self._plan)
        self._cleanup.callback(lab.down)  # not before: a lab that was refused is somebody else's
        self.started["lab_up"] = _ms(began)
        folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="turnup-real-"))
        Path(folder).chmod(0o755)
        began = time.perf_counter()
        self.stand = self._cleanup.enter_context(Stand(Path(folder) / "data"))
        self.stand.start_database()
        clock = self.stand.house.runtime.clock
        clock.advance(_third_of_next_month(clock.now()) - clock.now())
        self._import(Path(folder))
        self.stand.start_processes()
        self.stand.settle()
        self.started["installation_up"] = _ms(began)

    def _import(self, folder: Path) -> None:
        network = folder / "network.yaml"
        write_network(network, network_document(examples() / "real", self.endpoints))
        importer = self.stand.house.importer
        importer.load_catalog(examples() / "real" / "catalog.yaml")
        importer.load_policies(examples() / "isp" / "policies.yaml")
        importer.load_network(network)

    # --- selling ------------------------------------------------------------------------------------------

    def customer(self, name: str) -> AccountId:
        body = {
            "@type": "Customer",
            "name": name,
            "contactMedium": [
                {
                    "@type": "EmailContactMedium",
                    "contactType": "email",
                    "emailAddress": f"{name.lower().replace(' ', '.')}@mail.example",
                },
                {
                    "@type": "GeographicAddressContactMedium",
                    "contactType": "postalAddress",
                    "street1": "Torstrasse 1",
                    "postCode": "10119",
                    "city": "Berlin",
                    "country": "DE",
                },
            ],
        }
        key = secrets.token_hex(8)
        answer = self.stand.api.post(_CUSTOMERS, json=body, headers={"Idempotency-Key": key})
        expect(answer.status_code == 201, f"customer: {answer.text}")
        return AccountId(UUID(answer.json()["account"][0]["id"]))

    def sell(self, name: str, offering: str) -> Sold:
        """Order it and wait until it is configured and verified."""
        return Sold(self, *self.order(name, offering, SITE))

    def order(self, name: str, offering: str, site: str) -> tuple[AccountId, Mapping[str, Any]]:
        """The new customer's account and her order, completed."""
        account = self.customer(name)
        item = {"action": "add", "productOffering": {"id": offering, "@type": "ProductOfferingRef"}}
        return account, self._order(account, {**item, "product": {"@type": "Product"}}, site)

    def accept(self, sold: SoldService) -> None:
        """The installation is accepted: billing starts."""
        answer = self.stand.api.post(f"/turnup/v1/services/{sold.service_id}/accept")
        expect(answer.status_code == 200, f"acceptance: {answer.text}")
        self.stand.settle()

    def change(self, sold: SoldService, offering: str) -> None:
        """Order another plan and wait until it is verified."""
        product = {"@type": "Product", "id": sold.product_id}
        offered = {"id": offering, "@type": "ProductOfferingRef"}
        item = {"action": "modify", "productOffering": offered, "product": product}
        self._order(sold.account, item, sold.site)

    def cease(self, sold: SoldService) -> None:
        self.stand.settle()
        product = {"@type": "Product", "id": sold.product_id}
        self._order(sold.account, {"action": "delete", "product": product}, sold.site)

    def _order(self, account: AccountId, item: Mapping[str, Any], site: str) -> Mapping[str, Any]:
        body = {
            "@type": "ProductOrder",
            "billingAccount": {"id": str(account), "@type": "BillingAccountRef"},
            "productOrderItem": [{"@type": "ProductOrderItem", "id": "1", **item}],
            "servingSite": site,
        }
        answer = self.stand.api.post(_ORDERS, json=body, headers={"Idempotency-Key": secrets.token_hex(8)})
        expect(answer.status_code == 201, f"order: {answer.text}")
        order: dict[str, Any] = answer.json()
        until = time.monotonic() + _ORDER_S
        while order["state"] in ("acknowledged", "inProgress") and time.monotonic() < until:
            time.sleep(0.01)
            order = self.stand.api.get(f"{_ORDERS}/{order['id']}").json()
        expect(
            order["state"] == "completed",
            f"the order is {order['state']}: {order.get('productOrderErrorMessage')}",
        )
        return order

    # --- arrears ------------------------------------------------------------------------------------------

    def bill_and_suspend(self, sold: SoldService) -> None:
        """The month is billed, nobody pays, dunning walls her in: the clock is moved, the rules are real."""
        house = self.stand.house
        first = _first_of_next_month(business_date(house.runtime.clock.now(), _ZONE))
        self._pass_to(first)
        with house.runtime.unit("billing", "rig") as unit:
            run_id = house.billing.start_run(unit, first)
        wait_until(lambda: _done(house.billing.run(run_id)), "the bill run is done", timeout_s=60)
        due = house.billing.invoices(sold.account)[-1].due_date
        for days in (8, 16):
            self._pass_to(due + timedelta(days=days))
            with house.runtime.unit("billing", "rig") as unit:
                house.billing.dunning_tick(unit, business_date(unit.now, _ZONE))
            self.stand.settle()
        self.wait_state(sold, ServiceState.SUSPENDED)

    def pay(self, sold: SoldService) -> None:
        """She pays all she owes; nothing is waited for."""
        house = self.stand.house
        owed = house.billing.balance_minor(sold.account)
        with house.runtime.unit("billing", "rig") as unit:
            reference = f"rig-{secrets.token_hex(4)}"
            today = business_date(unit.now, _ZONE)
            house.billing.pay(unit, sold.account, owed, "EUR", reference, today)

    def wait_state(self, sold: SoldService, state: ServiceState) -> None:
        wait_until(lambda: sold.view.state is state, f"the service is {state}", timeout_s=60)

    def _pass_to(self, day: date) -> None:
        clock = self.stand.house.runtime.clock
        step = start_of_day(day, _ZONE) + timedelta(hours=9) - clock.now()
        if step > timedelta(0):
            clock.advance(step)
            self.stand.settle()

    # --- what the elements hold ---------------------------------------------------------------------------

    def held(self, sold: SoldService) -> dict[str, bool]:
        """By element that serves it: whether the element itself says it holds anything of the service."""
        house = self.stand.house
        found = {}
        for element_id in sold.elements.values():
            element = house.inventory.element(element_id)
            assert element is not None
            found[element.code] = sold.service_id in house.configuration.actual(element_id, [sold.service_id])
        return found

    @staticmethod
    def at_the_gateway(*command: str) -> str:
        """What a technician at the gateway's console would run; its output."""
        return run(*inside(plan.GATEWAY, *command))

    def gateway_class(self, sold: Sold) -> str:
        """The traffic class of the one subscriber on this port, ``1:10``."""
        words = self.at_the_gateway("tc", "class", "show", "dev", sold.subscriber.port).split()
        return words[words.index("htb") + 1]

    @contextmanager
    def turnup_stopped(self) -> Iterator[None]:
        """Turnup's processes and its database answer nobody; afterwards they go on."""
        pids = [self.stand.processes.pid(name) for name in self.stand.processes.names]
        supervisor = state(self.stand.data_dir).supervisor_pid
        assert supervisor is not None
        engine = psutil.Process(supervisor)
        pids += [supervisor, *(child.pid for child in engine.children(recursive=True))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)
        self.stand.settle()

    def radius_secret(self, sold: SoldService) -> str:
        """What is in her router: as the AAA server's database opens it."""
        element_id = sold.elements["aaa"]
        fragment = self.stand.house.configuration.actual(element_id, [sold.service_id])[sold.service_id]
        return fragment.attributes["secret"]


def _done(run: Any) -> bool:
    expect(run is None or run.state != "failed", "the bill run failed")
    return run is not None and run.state == "done"


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _first_of_next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _third_of_next_month(now: datetime) -> datetime:
    first = _first_of_next_month(now.date())
    return datetime(first.year, first.month, 3, 9, tzinfo=UTC)


__all__ = ["DemoFailed", "RealRig", "Sold", "SoldService"]

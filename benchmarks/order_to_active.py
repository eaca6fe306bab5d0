"""From POST to verified on the virtual network: `python -m benchmarks.order_to_active --orders 500 --json -`.

API, database, two workers, collector and lab share this machine with the client that measures. First some
orders one at a time (p50, p99), then all with a fixed number under way (the sustained rate and its p99).
Afterwards the result is checked on the devices: every order's stanzas are there, once, and no resource is
held twice.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.report import cpu_s, machine, report
from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import write_isp
from turnup.kernel.ids import new_id
from turnup.runtime.settings import default_data_dir

ORDERS = "/tmf-api/productOrderingManagement/v5/productOrder"
CUSTOMERS = "/tmf-api/customer/v5/customer"
POLL_S = 0.005
POLL_TOGETHER_S = 0.2
"""Under load a client asks less often: asking costs the same processors. Its waiting is in the figures."""
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Timed:
    """One order: milliseconds from POST to `completed` as the client sees it, and the devices' part."""

    ms: float
    device_ms: float
    service_id: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=500, help="orders of the sustained part (up to 1900)")
    parser.add_argument("--alone", type=int, default=100, help="orders one at a time")
    parser.add_argument("--at-once", type=int, default=8, help="orders under way in the sustained part")
    parser.add_argument("--json", metavar="FILE", default="-", help="- prints")
    options = parser.parse_args()
    on = machine()
    folder = default_data_dir().resolve().with_name(f"turnup-bench-{new_id().hex[-8:]}")
    # six orders under way keep two cores busy; more of them only hand the interpreter's lock to and fro
    with Stand(folder, {"workers": "2", "worker_concurrency": "3", "http_threads": "10"}) as stand:
        prepare(stand)
        accounts = [new_account(stand.api, n) for n in range(20)]
        for n in range(WARM_UP):
            order(stand.api, accounts[n % len(accounts)])
        alone = [order(stand.api, accounts[n % len(accounts)]) for n in range(options.alone)]
        cpu = CpuMeter(stand)
        started = time.perf_counter()
        together = run_together(stand, accounts, options.orders, options.at_once)
        seconds = time.perf_counter() - started
        cpu_ms = cpu.elapsed_ms()
        stand.settle()
        problems = check(stand, WARM_UP + options.alone + options.orders)
    report(
        "order_to_active",
        {
            "orders": options.orders,
            "at_once": options.at_once,
            "p50_ms": percentile([t.ms for t in alone], 50),
            "p99_ms": percentile([t.ms for t in alone], 99),
            "orders_per_second": round(options.orders / seconds, 2),
            "sustained_p50_ms": percentile([t.ms for t in together], 50),
            "sustained_p99_ms": percentile([t.ms for t in together], 99),
            "cpu_ms_per_order": {name: round(ms / options.orders, 1) for name, ms in cpu_ms.items()},
            "device_ms": percentile([t.device_ms for t in alone], 50),
            "check": problems or "ok",
        },
        on,
        options.json,
    )


def prepare(stand: Stand) -> None:
    """Everything runs, the ISP's documents are loaded; no customers yet."""
    stand.start_database()
    stand.start_lab()
    with tempfile.TemporaryDirectory() as folder:
        isp = Path(folder)
        today = stand.house.runtime.clock.now().date()
        write_isp(isp, examples() / "isp", stand.lab_process.endpoints, [], today)
        stand.house.importer.load_catalog(isp / "catalog.yaml")
        stand.house.importer.load_policies(isp / "policies.yaml")
        stand.house.importer.load_network(isp / "network.yaml")
    stand.start_processes()


def new_account(api: httpx.Client, n: int) -> str:
    """Id of a new customer's billing account."""
    body = {
        "@type": "Customer",
        "name": f"Bench {n}",
        "contactMedium": [
            {
                "@type": "GeographicAddressContactMedium",
                "contactType": "postalAddress",
                "street1": f"Weg {n}",
                "postCode": "10115",
                "city": "Berlin",
                "country": "DE",
            }
        ],
    }
    answer = api.post(CUSTOMERS, json=body, headers={"Idempotency-Key": str(new_id())})
    answer.raise_for_status()
    account: str = answer.json()["account"][0]["id"]
    return account


def order(api: httpx.Client, account: str, poll_s: float = POLL_S) -> Timed:
    """One order for a new line with a static address, followed until it is completed."""
    body = {
        "billingAccount": {"id": account},
        "servingSite": "pop1",
        "productOrderItem": [
            {"action": "add", "productOffering": {"id": "fibre-300-50"}, "product": {"@type": "Product"}}
        ],
    }
    started = time.perf_counter()
    answer = api.post(ORDERS, json=body, headers={"Idempotency-Key": str(new_id())})
    answer.raise_for_status()
    document = answer.json()
    while document["state"] in ("acknowledged", "inProgress"):
        if time.perf_counter() - started > 60:
            raise RuntimeError(f"order {document['id']} does not end: {document['state']}")
        time.sleep(poll_s)
        document = api.get(f"{ORDERS}/{document['id']}").json()
    ms = (time.perf_counter() - started) * 1000
    if document["state"] != "completed":
        raise RuntimeError(f"order is {document['state']}: {document.get('productOrderErrorMessage')}")
    device_ms = sum(step["deviceMs"] for step in document["timeline"])
    return Timed(ms, device_ms, document["productOrderItem"][0]["service"]["id"])


def run_together(stand: Stand, accounts: Sequence[str], count: int, at_once: int) -> list[Timed]:
    """`count` orders with `at_once` under way all the time, each client with a connection of its own."""
    local = threading.local()

    def one(n: int) -> Timed:
        if not hasattr(local, "api"):
            local.api = httpx.Client(base_url=stand.api.base_url, headers=stand.api.headers, timeout=60.0)
        return order(local.api, accounts[n % len(accounts)], POLL_TOGETHER_S)

    with ThreadPoolExecutor(at_once) as clients:
        return list(clients.map(one, range(count)))


class CpuMeter:
    """CPU milliseconds since the start, by part of the installation."""

    def __init__(self, stand: Stand) -> None:
        self._parts: dict[str, list[psutil.Process]] = {
            kind: [
                psutil.Process(stand.processes.pid(name))
                for name in stand.processes.names
                if name.partition("-")[0] == kind
            ]
            for kind in ("server", "worker", "collector")
        }
        self._parts["lab"] = [psutil.Process(stand.lab_process.pid)]
        self._parts["client"] = [psutil.Process()]
        self._postgres = next(p for p in psutil.process_iter() if self._is_postmaster(p, stand.data_dir))
        self._start = self._read()

    @staticmethod
    def _is_postmaster(process: psutil.Process, data_dir: Path) -> bool:
        try:
            command = process.cmdline()
        except psutil.Error:
            return False
        return bool(command) and command[0].endswith("postgres") and any(str(data_dir) in a for a in command)

    def elapsed_ms(self) -> dict[str, float]:
        now = self._read()
        parts = {name: (now[name] - self._start[name]) * 1000 for name in now}
        parts["all_but_client"] = sum(ms for name, ms in parts.items() if name != "client")
        return parts

    def _read(self) -> dict[str, float]:
        parts = {name: sum(cpu_s(p) for p in processes) for name, processes in self._parts.items()}
        backends = [self._postgres, *self._postgres.children(recursive=True)]
        parts["postgres"] = sum(cpu_s(process) for process in backends)
        return parts


def check(stand: Stand, orders: int) -> list[str]:
    """What is wrong with the result, empty if nothing: asked of the devices, not of our books."""
    problems = []
    services = stand.house.provisioning.services()
    if len(services) != orders:
        problems.append(f"{len(services)} services for {orders} orders")
    held = stand.house.inventory.reservations()
    for kind in ("ipv4", "ipv6_pd", "ipv6_wan", "circuit_id"):
        values = [reservation.resources[kind] for reservation in held.values()]
        if len(values) != orders or len(set(values)) != orders:
            problems.append(f"{kind}: {len(set(values))} different values for {orders} orders")
    on_olts: set[str] = set()
    for device in ("olt1", "olt2"):
        for line in stand.lab.running(device=device):
            if line.startswith("set service "):
                key = line.split()[2]
                on_olts.add(key)
    missing = {str(service.id) for service in services} - on_olts
    if missing or len(on_olts) != orders:
        problems.append(f"OLTs hold {len(on_olts)} services, {len(missing)} are missing")
    for element in stand.house.inventory.elements():
        left = stand.house.configuration.differences(element.id)
        if left:
            problems.append(f"{element.code}: {len(left)} services differ from what they should be")
    return problems


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)


if __name__ == "__main__":
    main()

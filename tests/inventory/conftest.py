"""An inventory on a database of its own, with the network of a small ISP."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from builders.house import attach_workflows, lay_out, runtime_on
from turnup.contracts.inventory import Reservation, ReserveRequest, ResourceNeed
from turnup.kernel.ids import AddressId, ServiceId, derived_id, new_id
from turnup.oss.inventory.component import SCHEMA, build
from turnup.oss.inventory.service import Inventory
from turnup.runtime.component import Component, Runtime

NETWORK: Mapping[str, Any] = {
    "sites": [{"code": "pop1", "name": "POP 1", "latitude": 52.52, "longitude": 13.405, "reach_km": 5}],
    "elements": [
        {
            "code": "olt1",
            "role": "access",
            "driver": "tlos",
            "site": "pop1",
            "ports": [
                {"name": "pon-0/1/{0-1}", "kind": "pon", "capacity": 8, "first_vlan": 1200},
                {"name": "xe-0/0/0", "kind": "uplink"},
            ],
        },
        {
            "code": "bng1",
            "role": "bng",
            "driver": "tlos",
            "site": "pop1",
            "ports": [{"name": "xe-0/0/0", "kind": "uplink"}],
        },
        {"code": "aaa1", "role": "aaa", "driver": "aaa_database", "site": "pop1"},
    ],
    "links": [{"a": "olt1/xe-0/0/0", "b": "bng1/xe-0/0/0"}],
    "pools": [
        {"code": "dynamic4", "kind": "ipv4", "prefixes": ["192.0.2.0/29"], "reserved": ["192.0.2.1"]},
        {"code": "static4", "kind": "ipv4", "prefixes": ["198.51.100.0/30"]},
        {"code": "wan6", "kind": "ipv6_wan", "prefixes": ["2001:db8:1::/48"]},
        {"code": "pd6", "kind": "ipv6_pd", "prefixes": ["2001:db8:8000::/36"]},
    ],
}
DYNAMIC = (
    ResourceNeed(kind="access_port"),
    ResourceNeed(kind="vlan"),
    ResourceNeed(kind="ipv4", pool="dynamic4"),
    ResourceNeed(kind="ipv6_wan", pool="wan6"),
    ResourceNeed(kind="ipv6_pd", pool="pd6"),
)
STATIC = tuple(ResourceNeed(kind="ipv4", pool="static4") if need.kind == "ipv4" else need for need in DYNAMIC)
FIRST_PORT, SECOND_PORT = sorted(
    ("pon-0/1/0", "pon-0/1/1"), key=lambda name: derived_id("port", "olt1", name)
)
"""Ports are filled evenly, in the order of their ids."""


class Customers:
    """The part of crm.Reads that inventory uses."""

    def __init__(self) -> None:
        self.addresses: dict[AddressId, Any] = {}

    def add(self, latitude: str | None, longitude: str | None) -> AddressId:
        address_id = AddressId(new_id())
        self.addresses[address_id] = SimpleNamespace(
            latitude=None if latitude is None else Decimal(latitude),
            longitude=None if longitude is None else Decimal(longitude),
        )
        return address_id

    def address(self, address_id: AddressId) -> Any:
        return self.addresses.get(address_id)


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("inventory", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def customers() -> Customers:
    return Customers()


@pytest.fixture
def component(runtime: Runtime, customers: Customers) -> Component:
    component = build(runtime, customers)  # type: ignore[arg-type]
    attach_workflows(runtime, [component])
    return component


@pytest.fixture
def inventory(runtime: Runtime, component: Component) -> Inventory:
    service: Inventory = component.service
    with runtime.unit("inventory", "cli:anna") as unit:
        service.load_network(unit, NETWORK)
    return service


@pytest.fixture
def reserve(runtime: Runtime, inventory: Inventory) -> Callable[..., Reservation]:
    """`reserve(service_id=…, needs=…, …)` in a unit of its own; without more, a fresh dynamic service."""

    def reserved(service_id: ServiceId | None = None, needs: Any = DYNAMIC, **more: Any) -> Reservation:
        request = ReserveRequest(
            service_id=service_id or ServiceId(new_id()),
            needs=needs,
            **{"address_id": None, "site": "pop1", **more},
        )
        with runtime.unit("inventory", "cli:anna") as unit:
            return inventory.reserve(unit, request)

    return reserved

"""Orders with real inventory and provisioning on one database; catalog, customers and network are fakes."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from builders.house import attach_workflows, lay_out, runtime_on
from builders.services import internet_access
from inventory.conftest import NETWORK
from turnup.bss.orders import component as orders_component
from turnup.bss.orders.service import Orders
from turnup.bss.orders.workflows import Fulfilment
from turnup.contracts.catalog import (
    CharacteristicSpec,
    OfferingView,
    PriceView,
    ResourceSpec,
    TaskSpec,
)
from turnup.contracts.orders import ItemAction, NewOrder, NewOrderItem
from turnup.contracts.provisioning import Admission, Realisation
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import (
    AccountId,
    BrandId,
    CustomerId,
    LegalEntityId,
    OfferingId,
    OrderId,
    PriceId,
    ProductId,
    ServiceId,
    derived_id,
    new_id,
)
from turnup.oss.inventory import component as inventory_component
from turnup.oss.inventory.service import Inventory
from turnup.oss.provisioning import component as provisioning_component
from turnup.oss.provisioning.handlers import handlers as provisioning_handlers
from turnup.oss.provisioning.routes import routers as provisioning_routers
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.component import Component, Runtime
from turnup.runtime.database import refuse_in_transaction

SPEC = internet_access(
    (
        ResourceSpec(kind="access_port"),
        ResourceSpec(kind="vlan"),
        ResourceSpec(kind="ipv4", pool="dynamic4"),
        ResourceSpec(kind="ipv4", pool="static4", option="static_ipv4"),
        ResourceSpec(kind="ipv6_pd", pool="pd6"),
    ),
)


def offering(code: str, down_kbps: int, price: str, tasks: tuple[TaskSpec, ...] = ()) -> OfferingView:
    def priced(name: str, kind: str, amount: str, **more: Any) -> PriceView:
        return PriceView(
            id=PriceId(derived_id("price", code, name)),
            code=name,
            name=name,
            kind=kind,
            amount=Decimal(amount),
            currency="EUR",
            tax_category="standard",
            **more,
        )

    return OfferingView(
        id=OfferingId(derived_id("offering", code, 1)),
        code=code,
        version=1,
        name=code.title(),
        description="",
        status="active",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        valid_to=None,
        characteristics=(
            CharacteristicSpec(name="down_kbps", kind="integer", default=down_kbps, configurable=False),
            CharacteristicSpec(name="static_ipv4", kind="boolean", default=False),
            CharacteristicSpec(name="floor", kind="string", allowed=("1", "2")),
        ),
        prices=(
            priced("activation", "one_time", "50.00"),
            priced("month", "recurring", price, period_months=1),
            priced("static", "recurring", "5.00", period_months=1, option="static_ipv4"),
        ),
        service=SPEC,
        tasks=tasks,
    )


VISIT = TaskSpec(code="visit", name="Install visit", blocks="activation")
SHIP = TaskSpec(code="ship", name="Ship the router", blocks="completion")
OFFERINGS = {
    found.code: found
    for found in (
        offering("fibre-100", 100_000, "39.90"),
        offering("fibre-300", 300_000, "59.90"),
        offering("with-visit", 100_000, "39.90", (VISIT,)),
        offering("with-router", 100_000, "39.90", (SHIP,)),
        replace(offering("old", 50_000, "19.90"), status="retired"),
    )
}


class Catalog:
    """catalog.Reads over these offerings."""

    def offering(self, offering_id: OfferingId) -> OfferingView | None:
        return next((found for found in OFFERINGS.values() if found.id == offering_id), None)

    def offering_by_code(self, code: str, at: datetime) -> OfferingView | None:
        return OFFERINGS.get(code)

    def offerings(self, at: datetime | None = None) -> list[OfferingView]:
        return list(OFFERINGS.values())


class Customers:
    """The part of crm.Reads that orders and inventory use: two accounts, no addresses."""

    def __init__(self) -> None:
        self.jane, self.joe = AccountId(new_id()), AccountId(new_id())
        self.closed: set[CustomerId] = set()

    def account(self, account_id: AccountId) -> Any:
        if account_id not in (self.jane, self.joe):
            return None
        return SimpleNamespace(
            id=account_id,
            number=f"A-{account_id.hex[:4]}",
            customer_id=CustomerId(derived_id("customer", account_id)),
            legal_entity_id=LegalEntityId(derived_id("legal-entity")),
            brand_id=BrandId(derived_id("brand")),
        )

    def customer(self, customer_id: CustomerId) -> Any:
        return SimpleNamespace(status="closed" if customer_id in self.closed else "active")

    def address(self, address_id: object) -> None:
        return None


@dataclass
class Network:
    """A network that behaves: it holds, per service, what it was brought to. `trouble` is met, in turn, by
    the next realisations: an error to raise, `refused` or `lost` (done, but the answer never came). `refuse`
    names services refused for good, `silent` those whose element does not answer; with `together`, nobody is
    served until as many have come."""

    runtime: Runtime
    provisioning: Provisioning
    holds: dict[ServiceId, tuple[int, Mapping[str, str], Mapping[str, str]]] = field(default_factory=dict)
    trouble: list[Any] = field(default_factory=list)
    refuse: set[ServiceId] = field(default_factory=set)
    silent: set[ServiceId] = field(default_factory=set)
    together: threading.Barrier | None = None
    deadlines: list[float] = field(default_factory=list)
    calls: int = 0
    at_work: threading.Lock = field(default_factory=threading.Lock)
    meanwhile: Callable[[], None] | None = None
    is_frozen: bool = False
    frozen_services: set[ServiceId] = field(default_factory=set)

    def realise(self, service_id: ServiceId, *, deadline_s: float) -> Realisation:
        refuse_in_transaction("network")
        self.deadlines.append(deadline_s)
        if self.together is not None:
            self.together.wait(timeout=20.0)
        with self.at_work:
            return self._realise(service_id)

    def _realise(self, service_id: ServiceId) -> Realisation:
        self.calls += 1
        if self.is_frozen or service_id in self.frozen_services:
            return self._frozen(service_id)
        if service_id in self.silent:
            raise Unavailable("olt2 does not answer")
        trouble = self.trouble.pop(0) if self.trouble else None
        if isinstance(trouble, Exception):
            raise trouble
        service = self.provisioning.designed(service_id)
        assert service is not None
        facts = {
            "service_id": service_id,
            "generation": service.generation,
            "outcomes": (),
            "turnup_ms": 1.0,
            "device_ms": 2.0,
        }
        refused = trouble == "refused" or service_id in self.refuse
        if refused and service.admission is not Admission.NONE:
            return Realisation(**facts, ok=False, error="olt1: ONT type not allowed")
        if service.admission is Admission.NONE:
            self.holds.pop(service_id, None)
        else:
            self.holds[service_id] = (service.generation, service.characteristics, service.resources)
        if trouble == "lost":
            return Realisation(**facts, ok=False, error="olt1: no answer", transient=True)
        done = Realisation(**facts, ok=True)
        with self.runtime.unit("provisioning", "test") as unit:
            self.provisioning.record_realised(unit, done)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return done

    def frozen(self, service_ids: Sequence[ServiceId]) -> bool:
        return self.is_frozen

    def _frozen(self, service_id: ServiceId) -> Realisation:
        service = self.provisioning.designed(service_id)
        assert service is not None
        return Realisation(
            service_id=service_id, generation=service.generation, ok=False, outcomes=(), turnup_ms=1.0,
            device_ms=0.0, error="olt1 is frozen: everything by cli:anna, fire", frozen=True,
        )  # fmt: skip


class Breakable:
    """Passes calls on; those named in `broken` raise instead."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.broken: dict[str, Exception] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self.broken:
            raise self.broken[name]
        return getattr(self._inner, name)


@dataclass
class World:
    """Everything wired; `fulfilment` for calling the saga's steps directly."""

    runtime: Runtime
    customers: Customers
    network: Network
    inventory: Inventory
    provisioning: Provisioning
    inventory_commands: Breakable
    provisioning_commands: Breakable
    components: list[Component]
    orders: Orders
    fulfilment: Fulfilment

    def submit(self, *items: NewOrderItem, **more: Any) -> OrderId:
        new = NewOrder(items=items, **{"account_id": self.customers.jane, "site": "pop1", **more})
        with self.runtime.unit("orders", "cli:anna") as unit:
            return self.orders.submit(unit, new)

    def act(self, do: Callable[..., Any], *args: Any) -> Any:
        with self.runtime.unit("orders", "cli:anna") as unit:
            return do(unit, *args)

    def state(self, order_id: OrderId) -> str:
        view = self.orders.order(order_id)
        assert view is not None
        return view.state.value


def add(code: str = "fibre-100", **characteristics: Any) -> NewOrderItem:
    return NewOrderItem(action=ItemAction.ADD, offering=code, characteristics=characteristics)


def modify(product_id: ProductId, code: str | None = None, **characteristics: Any) -> NewOrderItem:
    return NewOrderItem(
        action=ItemAction.MODIFY, product_id=product_id, offering=code, characteristics=characteristics
    )


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    schemas = [orders_component.SCHEMA, inventory_component.SCHEMA, provisioning_component.SCHEMA]
    return make_template("orders", lambda url: lay_out(url, schemas))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def world(runtime: Runtime) -> World:
    customers = Customers()
    inventory_part = inventory_component.build(runtime, customers)  # type: ignore[arg-type]
    inventory: Inventory = inventory_part.service
    provisioning = provisioning_component.build_service(runtime, lambda secret, context: f"sealed:{context}")
    provisioning_part = Component(
        name="provisioning",
        service=provisioning,
        handlers=provisioning_handlers(provisioning),
        routers=provisioning_routers(provisioning, runtime),
    )
    network = Network(runtime, provisioning)
    inventory_commands, provisioning_commands = Breakable(inventory), Breakable(provisioning)
    peers: dict[str, Any] = {
        "offers": Catalog(),
        "network": inventory_commands,
        "network_reads": inventory,
        "services": provisioning_commands,
        "services_reads": provisioning,
        "realiser": network,
    }
    part = orders_component.build(runtime, customers=customers, **peers)  # type: ignore[arg-type]
    components = [part, inventory_part, provisioning_part]
    attach_workflows(runtime, components)
    with runtime.unit("inventory", "cli:anna") as unit:
        inventory.load_network(unit, NETWORK)
    fulfilment = Fulfilment(part.service, runtime.clock, **peers)
    return World(
        runtime,
        customers,
        network,
        inventory,
        provisioning,
        inventory_commands,
        provisioning_commands,
        components,
        part.service,
        fulfilment,
    )

"""Provisioning on a database of its own, and a service as its rules see it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from builders.house import attach_workflows, lay_out, runtime_on
from builders.services import internet_access
from turnup.contracts.inventory import Reservation
from turnup.contracts.provisioning import (
    Admission,
    Cause,
    CauseKind,
    Management,
    Realisation,
    ServiceFacts,
    ServiceRequest,
    ServiceState,
)
from turnup.contracts.unit import Event
from turnup.kernel.ids import AccountId, CustomerId, ElementId, ProductId, ServiceId, derived_id
from turnup.oss.provisioning.component import SCHEMA, build_service
from turnup.oss.provisioning.handlers import handlers
from turnup.oss.provisioning.model import Service
from turnup.oss.provisioning.service import REALISE, Provisioning
from turnup.runtime.component import Component, Runtime
from turnup.runtime.durable import Workflow

SPEC = internet_access()
RESERVATION = Reservation(
    service_id=ServiceId(derived_id("service", 1)),
    resources={"access_port": "olt1/pon-0/1/3", "vlan": "1203", "ipv4": "192.0.2.7", "ont_serial": "TURN1"},
    elements={role: ElementId(derived_id("element", role)) for role in ("access", "bng", "aaa")},
    status="reserved",
)
REQUEST = ServiceRequest(
    service_id=RESERVATION.service_id,
    product_id=ProductId(derived_id("product", 1)),
    customer_id=CustomerId(derived_id("customer", 1)),
    account_id=AccountId(derived_id("account", 1)),
    address_id=None,
    spec=SPEC,
    characteristics={"down_kbps": "100000"},
)
SERVICE = Service(
    id=REQUEST.service_id,
    number="S-1",
    product_id=REQUEST.product_id,
    customer_id=REQUEST.customer_id,
    account_id=REQUEST.account_id,
    address_id=None,
    spec=SPEC,
    state=ServiceState.RESERVED,
    management=Management.MANAGED,
    admission=Admission.FULL,
    generation=1,
    verified_generation=0,
    characteristics=REQUEST.characteristics,
    resources=RESERVATION.resources,
    elements=RESERVATION.elements,
    login="s-1",
    secret_sealed="sealed",
    facts=ServiceFacts(),
)


def asked(text: str) -> Cause:
    """A person wants it."""
    return Cause(CauseKind.ASKED, f"test:{text}", text)


ASKED = asked("ordered")


def proof(generation: int = 1, **more: Any) -> Realisation:
    facts = {"service_id": SERVICE.id, "outcomes": (), "turnup_ms": 1.0, "device_ms": 1.0, "ok": True}
    return Realisation(generation=generation, **{**facts, **more})


def without_serial() -> Reservation:
    resources = {kind: value for kind, value in RESERVATION.resources.items() if kind != "ont_serial"}
    return replace(RESERVATION, resources=resources)


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("provisioning", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def provisioning(runtime: Runtime) -> Provisioning:
    return build_service(runtime, lambda secret, context: f"sealed for {context}: {len(secret)}")


@pytest.fixture
def component(runtime: Runtime, provisioning: Provisioning) -> Component:
    part = Component(
        name="provisioning",
        service=provisioning,
        handlers=handlers(provisioning),
        workflows=[Workflow(name=REALISE, function=lambda run, service_id: None, queue="orders")],
    )
    attach_workflows(runtime, [part])
    return part


@pytest.fixture
def act(runtime: Runtime, component: Component) -> Callable[..., Any]:
    """`act(use_case, …)` in a unit of its own."""

    def acted(do: Callable[..., Any], *args: Any) -> Any:
        with runtime.unit("provisioning", "cli:anna") as unit:
            return do(unit, *args)

    return acted


@pytest.fixture
def happens(runtime: Runtime, component: Component) -> Callable[[Event], None]:
    """Somebody else's event reaches provisioning."""

    def happened(event: Event) -> None:
        with runtime.unit("provisioning", "test") as unit:
            component.handlers[type(event)](unit, event)

    return happened

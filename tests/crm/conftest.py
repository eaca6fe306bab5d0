"""A crm on a database of its own, with services and a message gateway that behave."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from builders.house import attach_workflows, lay_out, runtime_on
from turnup.bss.crm.component import SCHEMA, build, new_service
from turnup.bss.crm.service import CrmService
from turnup.contracts.crm import Message, NewAddress, NewCustomer
from turnup.kernel.ids import ServiceId
from turnup.runtime.component import Component, Runtime
from turnup.runtime.database import refuse_in_transaction

ROE = NewCustomer(
    name="Jane Roe",
    address=NewAddress(street="Hauptstr. 1", postcode="10115", city="Berlin", country="DE"),
    email="jane@example.net",
    phone="+49 30 123456",
)


class Mailbox:
    """A mail server: takes a message once per key; can be told to be away, or to refuse."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.trouble: list[Exception] = []

    def send(self, message: Message) -> None:
        refuse_in_transaction("mail")
        if self.trouble:
            raise self.trouble.pop(0)
        self.messages.setdefault(message.key, message)


class Services:
    """The part of provisioning.Reads that crm uses."""

    def __init__(self) -> None:
        self.known: dict[ServiceId, Any] = {}

    def add(self, service_id: ServiceId, number: str, customer_id: Any, account_id: Any) -> None:
        self.known[service_id] = SimpleNamespace(
            number=number, customer_id=customer_id, account_id=account_id
        )

    def service(self, service_id: ServiceId) -> Any:
        return self.known.get(service_id)


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("crm", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def component(runtime: Runtime, mailbox: Mailbox, services: Services) -> Component:
    component = build(runtime, new_service(runtime), services=services, gateway=mailbox)
    attach_workflows(runtime, [component])
    return component


@pytest.fixture
def crm(component: Component) -> CrmService:
    service = component.service
    assert isinstance(service, CrmService)
    return service


@pytest.fixture
def open_customer(runtime: Runtime, crm: CrmService) -> Callable[..., Any]:
    """`open_customer(name=…)`: opens Jane Roe, or her with other facts, in a unit of its own."""

    def opened(**facts: Any) -> Any:
        with runtime.unit("crm", "cli:anna") as unit:
            return crm.open_customer(unit, replace(ROE, **facts))

    return opened

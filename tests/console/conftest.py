"""The ISP of the console's tests, and people at its desk."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from builders.console_isp import PASSWORD, ConsoleIsp
from turnup.app.server import api_of

OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="session")
def isp() -> Iterator[ConsoleIsp]:
    with ConsoleIsp() as built:
        yield built


@pytest.fixture(scope="session")
def app(isp: ConsoleIsp) -> FastAPI:
    return api_of(isp.house)


@pytest.fixture
def desk_of(app: FastAPI) -> Callable[..., TestClient]:
    """`desk_of("noc")`: a browser in which noc is logged in; without a name, nobody."""

    def opened(name: str | None = None) -> TestClient:
        client = TestClient(app, follow_redirects=False, raise_server_exceptions=False, headers=OURS)
        if name is not None:
            answer = client.post("/console/login", data={"name": name, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
        return client

    return opened


@pytest.fixture(scope="session")
def numbers(isp: ConsoleIsp) -> Any:
    """What the pages are asked for."""
    house = isp.house
    customers = {
        name: house.crm.customer(house.crm.account(account).customer_id).number
        for name, account in isp.accounts.items()
    }
    account = house.crm.account(isp.accounts["Jane Roe"])
    held = house.inventory.reservation(isp.service.id).resources
    return SimpleNamespace(
        customers=customers,
        account=account.number,
        service=isp.service.number,
        login=isp.service.login,
        invoice=isp.invoice,
        stopped=isp.stopped.number,
        ipv4=held["ipv4"],
        circuit=held["circuit_id"],
    )

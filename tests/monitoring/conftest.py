"""Fixtures of monitoring's tests: a database, a small network, and peers that behave."""

from collections.abc import Callable, Iterator

import pytest

from builders.house import lay_out, runtime_on
from fakes.network import FakeAccounting, FakeNetwork, FakeProbe, FakeServices
from turnup.oss.monitoring.component import SCHEMA, build
from turnup.oss.monitoring.model import Policy
from turnup.runtime.component import Runtime


@pytest.fixture(scope="session")
def database_template(make_template: Callable[[str, Callable[[str], None]], str]) -> str:
    return make_template("monitoring", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as made:
        yield made


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def accounting() -> FakeAccounting:
    return FakeAccounting()


@pytest.fixture
def probe(runtime: Runtime) -> FakeProbe:
    return FakeProbe(runtime.clock)


@pytest.fixture
def component(runtime, network, services, accounting, probe):
    return build(runtime, network, services, accounting, probe, policy=Policy(accounting_grace_s=30.0))


@pytest.fixture
def monitoring(component):
    return component.service

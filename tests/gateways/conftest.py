"""Fixtures of the gateways' tests: a lab with an AAA database, and the drivers that speak to it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from builders.lab_network import Lines
from turnup.gateways.aaa_database.database import create_schema
from turnup.gateways.aaa_database.driver import AaaDatabaseDriver
from turnup.gateways.tlos.driver import TlosDriver
from turnup.gateways.transports.ssh import SshPool
from turnup.lab.client import LabProcess
from turnup.runtime.embedded import ConnectionInfo, create_database, drop_database

EXAMPLE = Path(__file__).parents[2] / "examples" / "lab" / "network.yaml"


@pytest.fixture(scope="session")
def aaa_template(postgres: ConnectionInfo, make_template: Callable[[str, Callable[[str], None]], str]) -> str:
    def fill(url: str) -> None:
        for _ in range(2):  # safe to run again
            create_schema(url)

    return make_template("gateways_aaa", fill)


@pytest.fixture(scope="session")
def aaa_url(postgres: ConnectionInfo, aaa_template: str) -> Iterator[str]:
    """libpq connection string of the AAA database that the lab serves from."""
    name = f"gateways_{os.getpid()}"
    create_database(postgres, name, template=aaa_template)
    yield postgres.conninfo(name)
    drop_database(postgres, name)


@pytest.fixture
def aaa_empty(aaa_url: str) -> str:
    with psycopg.connect(aaa_url, autocommit=True) as connection:
        connection.execute("TRUNCATE aaa.subscriber, aaa.accounting, aaa.reject, aaa.fence")
    return aaa_url


@pytest.fixture(scope="session")
def lab_process(tmp_path_factory: pytest.TempPathFactory, aaa_url: str) -> Iterator[LabProcess]:
    network = yaml.safe_load(EXAMPLE.read_text())
    network |= {"redial_ms": 40, "redial_max_ms": 100}
    for device in network["devices"].values():
        device["boot_ms"] = 30
    network["devices"]["bng1"]["radius"] |= {"timeout_ms": 150, "tries": 2}
    file = tmp_path_factory.mktemp("network") / "network.yaml"
    file.write_text(yaml.safe_dump(network))
    with LabProcess(file, tmp_path_factory.mktemp("lab"), aaa_url) as running:
        yield running


@pytest.fixture
def lab(lab_process: LabProcess, aaa_empty: str) -> LabProcess:
    """The lab as first built, with an empty AAA database."""
    lab_process.client.reset()
    lab_process.client.wait_for(lambda client: client.status()["unacknowledged"]["bng1"] == 0)
    with psycopg.connect(aaa_empty, autocommit=True) as connection:
        connection.execute("TRUNCATE aaa.accounting")
    return lab_process


@pytest.fixture(scope="session")
def ssh() -> Iterator[SshPool]:
    pool = SshPool()
    yield pool
    pool.close()


@pytest.fixture
def driver(ssh: SshPool) -> TlosDriver:
    return TlosDriver(ssh)


@pytest.fixture
def lines(lab: LabProcess, driver: TlosDriver, aaa_empty: str) -> Lines:
    return Lines(lab, driver, AaaDatabaseDriver(aaa_empty))

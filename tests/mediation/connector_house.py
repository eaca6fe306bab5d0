"""The whole house on a test's database, with an SFTP peer, for tests of connectors. No worker runs."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from builders.house import deliver_events
from builders.sftp_server import PASSWORD, USER, SftpPeer, sftp_server
from turnup.app.demo.world import old_customers, write_isp
from turnup.app.engine import Engine
from turnup.app.house import House, assemble
from turnup.contracts.mediation import RunReport, TakenFile
from turnup.runtime.settings import Settings

EXAMPLES = Path(__file__).parents[2] / "examples" / "isp"
CUSTOMER_COLUMNS = [
    {"to": "external_id", "from": "KDNR"},
    {"to": "name", "from": "NAME", "apply": ["collapse"]},
    {
        "to": "kind",
        "from": "TYP",
        "values": {"P": "individual", "F": "organization"},
        "default": "individual",
    },
    {"to": "email", "from": "MAIL", "apply": ["lower"], "default": ""},
    {"to": "city", "from": "ORT", "default": ""},
]
ORDER_COLUMNS = [
    {"to": "external_id", "from": "id"},
    {"to": "action", "from": "action"},
    {"to": "customer", "from": "customer"},
    {"to": "product", "from": "product"},
    {"to": "offering", "from": "offering"},
    {"to": "site", "constant": "pop1"},
]


class Bench:
    def __init__(self, house: House, peer: SftpPeer) -> None:
        self.house, self.peer = house, peer
        self.runs = 0

    def publish(self, name: str, kind: str, columns: list[Any], **more: Any) -> None:
        incoming = kind in ("customers", "orders")
        document = {
            "name": name,
            "kind": kind,
            "mode": "live",
            "system": "legacy",
            "sftp": {
                "host": "127.0.0.1",
                "port": self.peer.port,
                "host_key": self.peer.host_key,
                "username": USER,
            },
            "folder": f"/{name}",
            "schedule": {"every_seconds": 300},
            "ready": {"by": "rename"},
            "columns": columns,
            **(
                {"pattern": "*.csv", "ack": f"/{name}/ack"}
                if incoming
                else {"file_name": "f-{number:04}.csv"}
            ),
            **more,
        }
        (self.peer.root / name).mkdir(exist_ok=True)
        with self.house.runtime.unit("mediation", "cli:test") as unit:
            self.house.connectors.publish(unit, document)
            self.house.connectors.set_credentials(unit, name, password=PASSWORD)

    def run(self, name: str) -> RunReport:
        self.runs += 1
        report = self.house.exchange.run(name, f"cli:test#{self.runs}")
        for file in report.files:
            assert file.counts.add_up, file
        return report

    def one(self, name: str) -> TakenFile:
        (file,) = self.run(name).files
        return file

    def deliver(self) -> None:
        deliver_events(self.house.runtime, self.house.components)

    def scalar(self, statement: str, **values: Any) -> Any:
        with self.house.database.engine.connect() as connection:
            return connection.scalar(text(statement), values)

    def wait(self, **span: float) -> None:
        self.house.runtime.clock.advance(timedelta(**span))

    def counts(self, file: TakenFile) -> tuple[int, int, int, int]:
        c = file.counts
        return c.read, c.applied, c.unchanged, c.quarantined

    def take_over(self, folder: Path, count: int, endpoints: Mapping[str, Any] | None = None) -> None:
        """An ISP with running customers of the system `legacy`, ids as `old_customers` makes them."""
        today = self.house.runtime.clock.now().date()
        write_isp(folder, EXAMPLES, endpoints or {"elements": {}}, old_customers(count), today)
        importer = self.house.importer
        importer.load_catalog(folder / "catalog.yaml")
        importer.load_policies(folder / "policies.yaml")
        importer.load_network(folder / "network.yaml")
        report = importer.take_over_customers(folder / "customers.csv", system="legacy")
        assert report.applied == count, report.quarantined[:3]


@contextmanager
def bench_on(database_url: str, folder: Path) -> Iterator[Bench]:
    settings = Settings(
        data_dir=folder / "data", database_pool_size=6, simulated_clock=True, database_url=database_url
    )
    house = assemble(settings, Engine(database_url, database_url, embedded=False), process="test")
    root = folder / "sftp"
    root.mkdir()
    with sftp_server(root) as peer:
        yield Bench(house, peer)
    house.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

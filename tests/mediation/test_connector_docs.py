"""The how-to is executed as it stands, and the examples are documents that are taken."""

import re
from pathlib import Path

import pytest
import yaml

from builders.sftp_server import PASSWORD, USER
from mediation.connector_house import Bench
from turnup.integration.mediation.rules.documents import connector

ROOT = Path(__file__).parents[2]
HOW_TO = (ROOT / "docs" / "how-to" / "files.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", HOW_TO, re.DOTALL)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "connectors").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_example_is_a_document(path: Path) -> None:
    assert connector(yaml.safe_load(path.read_text()), 1).name


def test_the_how_to_does_what_it_says(bench: Bench) -> None:
    (document,) = (yaml.safe_load(block) for block in blocks("yaml"))
    example = yaml.safe_load((ROOT / "examples" / "connectors" / "customers.yaml").read_text())
    assert document == example
    sent, acknowledged = blocks("csv")
    here = {"host": "127.0.0.1", "port": bench.peer.port, "host_key": bench.peer.host_key, "username": USER}
    document = {**document, "sftp": here, "mode": "live"}
    with bench.house.runtime.unit("mediation", "cli:test") as unit:
        name, _, _ = bench.house.connectors.publish(unit, document)
        bench.house.connectors.set_credentials(unit, name, password=PASSWORD)
    bench.peer.write("outgoing/customers/customers-0001.csv", sent, encoding="cp1252")
    assert bench.run(name).waiting == ("customers-0001.csv",)
    bench.wait(seconds=61)
    file = bench.one(name)
    got = (bench.peer.root / "incoming/ack/customers-0001.csv.ack.csv").read_bytes().decode("cp1252")
    assert got.replace("\r\n", "\n") == acknowledged.replace("SHA256", file.sha256)
    (row,) = bench.house.files.quarantined(name)
    assert bench.house.exchange.replay(row.id, "cli:test", {"TYP": "P"}).reason is None
    assert bench.counts(bench.house.files.file(file.id)) == (3, 3, 0, 0)

"""Killed (-9) anywhere in a run, and run again: every row is applied once, every file goes its way once."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from mediation.connector_house import ORDER_COLUMNS, Bench

IN_POINTS = [
    "file.fetched",
    "file.captured",
    "row.applied",
    "file.applied",
    "file.acknowledged",
    "file.moved",
]
OUT_POINTS = ["file.made", "file.put"]
QUICK = {"row.applied", "file.moved", "file.made"}


def points(names: list[str]) -> list[object]:
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in names]


class Killed:
    def __init__(self, bench: Bench, url: str, folder: Path) -> None:
        self.bench, self.url, self.folder = bench, url, folder

    def run(self, name: str, kill_at: str | None = None) -> int:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        if kill_at is not None:
            environment["TURNUP_KILL_AT"] = f"mediation.{kill_at}"
        command = [
            sys.executable,
            "-m",
            "builders.connector_run",
            self.url,
            str(self.folder),
            name,
            "workflow:k",
        ]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode


@pytest.fixture
def killed(bench: Bench, database_url: str, tmp_path: Path) -> Killed:
    bench.take_over(tmp_path / "isp", 3)
    bench.deliver()
    return Killed(bench, database_url, tmp_path)


@pytest.mark.parametrize("point", points(IN_POINTS))
def test_an_incoming_file_is_processed_once(killed: Killed, point: str) -> None:
    bench = killed.bench
    bench.publish("auftraege", "orders", ORDER_COLUMNS)
    customer = bench.scalar("SELECT min(external_id) FROM mediation.crosswalk WHERE kind = 'customer'")
    rows = (
        "".join(f"o{n},add,{customer},p{n},fibre-300-50\n" for n in range(3))
        + "o9,add,nobody,p9,fibre-300-50\n"
    )
    bench.peer.write("auftraege/a.csv", "id,action,customer,product,offering\n" + rows)
    assert killed.run("auftraege", point) == -signal.SIGKILL
    assert killed.run("auftraege") == 0
    killed.run("auftraege")  # and once more, for nothing
    (file,) = bench.house.files.taken("auftraege")
    assert bench.counts(file) == (4, 3, 0, 1) and file.counts.add_up
    assert (file.state, file.acknowledged_at is None, file.filed_at is None) == ("applied", False, False)
    assert bench.scalar("SELECT count(*) FROM orders.product_order") == 3
    assert bench.scalar("SELECT count(*) FROM orders.product WHERE status = 'pendingActive'") == 3
    assert bench.peer.listing("auftraege") == ["ack", "done"]
    assert bench.peer.listing("auftraege/done") == ["a.csv"]
    assert bench.peer.read("auftraege/ack/a.csv.ack.csv").splitlines()[-1] == "T,4,3,0,1,0"


@pytest.mark.parametrize("point", points(OUT_POINTS))
def test_an_outgoing_file_is_made_once(killed: Killed, point: str) -> None:
    bench = killed.bench
    bench.publish("zahlungen", "payments", [{"to": "id", "from": "payment"}])
    account = bench.house.crm.all_accounts()[0]
    with bench.house.runtime.unit("billing", "cli:test") as unit:
        bench.house.billing.pay(unit, account.id, 100, "EUR", "bank 1", date(2026, 3, 2))
    bench.deliver()
    assert killed.run("zahlungen", point) == -signal.SIGKILL
    assert killed.run("zahlungen") == 0
    (made,) = bench.house.files.made("zahlungen")
    assert (made.number, made.rows, made.sent_at is None) == (1, 1, False)
    assert bench.peer.listing("zahlungen") == ["f-0001.csv"]
    assert killed.run("zahlungen") == 0 and len(bench.house.files.made("zahlungen")) == 1

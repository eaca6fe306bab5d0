"""The main job, as a reader runs it: `turnup demo --once --json FILE`, on embedded engines and the lab.

The story checks its own promises and fails when one does not hold; here its figures are looked at, and that
one order is one trace, from the API call to the command on the device.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(figures, folder of traces) of one telling."""
    folder = tmp_path_factory.mktemp("story")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TURNUP_")},
        "TURNUP_TRACE_DIR": str(folder / "traces"),
    }
    done = subprocess.run(
        [
            sys.executable, "-m", "turnup.app.cli", "demo", "--once", "--customers", "30",
            "--json", str(folder / "figures.json"),
        ],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return json.loads((folder / "figures.json").read_text()), folder / "traces"


@pytest.mark.timeout(700)
def test_the_story_holds(told):
    figures, _ = told
    assert figures["ok"]
    assert all(step["ok"] and step["ms"] >= 0 for step in figures["steps"])
    told_of = {step["name"] for step in figures["steps"]}
    assert {"import_customers", "order_to_verified", "online", "upgrade", "outage_found"} <= told_of
    assert {"bill_run", "suspended", "restored", "reconcile_repair"} <= told_of
    assert figures["order_to_active_ms"] > 0
    assert figures["reconciliation"] == {"checked": 31, "found": 2, "repaired": 2}
    assert figures["peak_rss_mb"] > 0


def test_her_invoice_is_the_sum_of_what_happened(told):
    """3 to 31 December: Fibre 300/50 for 10 days, 1000/200 for 19, a static address, five hours of outage."""
    invoice = told[0]["invoice"]
    amounts = {line["text"]: line["net_minor"] for line in invoice["lines"]}

    def of(start):
        return sorted(net for text, net in amounts.items() if text.startswith(start))

    days = 31 if any("-12-" in text or "-01-" in text for text in amounts) else None
    assert of("Activation") == [50_00]
    assert len(of("Fibre 300/50")) == 1
    assert len(of("Fibre 1000/200")) == 2
    assert of("Credit for an outage")[0] < 0
    assert of("Traffic") and min(of("Traffic")) >= 0
    if days == 31:
        assert of("Fibre 300/50") == [round(34_90 * 10 / 31)]
        assert of("Fibre 1000/200") == [round(59_90 * 19 / 31), 59_90]
        assert round(-59_90 * 5 * 2.5 / 100) in of("Credit for an outage")
    net = sum(amounts.values())
    assert abs(invoice["total_minor"] - net * 1.19) <= len(amounts)


def test_one_order_is_one_trace(told):
    spans = [json.loads(line) for file in told[1].glob("*.jsonl") for line in file.read_text().splitlines()]
    by_trace = {}
    for span in spans:
        by_trace.setdefault(span["context"]["trace_id"], []).append(span)
    orders = [
        {span["name"] for span in trace}
        for trace in by_trace.values()
        if any(span["name"].startswith("POST") and "productOrder" in span["name"] for span in trace)
    ]
    assert orders, sorted({span["name"] for span in spans})[:40]
    complete = [names for names in orders if {"element.apply", "element.verify"} <= names]
    assert complete, orders
    assert any(name.startswith("orders.fulfil") for name in complete[0])

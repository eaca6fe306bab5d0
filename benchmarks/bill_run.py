"""How fast a bill run is: from facts in the database to posted invoices, lines, derivations and ledger.

    python -m benchmarks.bill_run --subscribers 100000 --json -

A month of June for a made-up ISP: a monthly plan (a fifth in advance) and a router each, a static address
for a third, a change of plan within the month for 12 %, a new connection for 2 %, an outage credit for 5 %, a
usage plan with 30 daily records for 20 %, tax. All of it is the product: `turnup` worker processes take the
shards from the durable queue, embedded PostgreSQL commits durably, the run is started as `turnup bill run`
starts it. `seconds` runs from there to the run's end. `check` recomputes every invoice with the scalar test
oracle, which shares no code with billing, and compares every account's net and tax, the ledger, and the
numbers. CPU counts every process that works on the run. `peak_rss_mb` is all of them together, PostgreSQL's
cache of up to 1 GB included; `worker_peak_rss_mb` the largest worker process.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.bill_isp import BILL_DATE, POLICIES, check, load
from benchmarks.report import cpu_s, machine, report
from turnup.app.demo.stage import wait_until
from turnup.app.demo.stand import Stand
from turnup.app.processes import Processes, names_of
from turnup.kernel.ids import new_id
from turnup.runtime.embedded import state
from turnup.runtime.settings import default_data_dir

_POLL_S = 0.2
_LISTENING_S = 2.0
"""From a worker's lease until it surely listens: the engine looks for new queues once a second. Whoever bills
has had workers for longer."""
_MEMORY_S = 2.0
"""Between looks at the memory: the kernel walks every page of every process for one."""


class Crew:
    """The worker processes of an installation, each as `turnup up` would start it."""

    def __init__(self, stand: Stand, workers: int) -> None:
        self._stand = stand
        names = [name for name in names_of(workers) if name.startswith("worker")]
        self._processes = Processes(stand.environment, stand.data_dir / "log", names)

    def __enter__(self) -> "Crew":
        self._processes.start()
        wait_until(lambda: self._ready() == len(self._processes.names), "the workers are up", timeout_s=60)
        time.sleep(_LISTENING_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.stop()

    def _ready(self) -> int:
        with self._stand.house.database.engine.connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM runtime.worker")) or 0)

    @property
    def workers(self) -> list[psutil.Process]:
        return [psutil.Process(self._processes.pid(name)) for name in self._processes.names]

    @property
    def postgres(self) -> list[psutil.Process]:
        """The postmaster, first, and its backends."""
        supervisor = psutil.Process(state(self._stand.data_dir).supervisor_pid)
        postmaster = next(p for p in supervisor.children() if "postgres" in p.name())
        return [postmaster, *postmaster.children()]

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by part; PostgreSQL's with the backends that have ended."""
        ended = self.postgres[0].cpu_times()
        return {
            "workers": sum(cpu_s(process) for process in self.workers),
            "postgres": sum(cpu_s(process) for process in self.postgres)
            + ended.children_user
            + ended.children_system,
            "starter": cpu_s(psutil.Process()),
        }

    def worker_peak_mb(self) -> int:
        """The highest memory (VmHWM) of the largest worker, its start included."""
        status = [Path(f"/proc/{process.pid}/status").read_text() for process in self.workers]
        peaks_kb = [int(each.partition("VmHWM:")[2].split()[0]) for each in status]
        return max(peaks_kb) >> 10


class Memory:
    """The highest memory of workers and PostgreSQL; shared pages count once (PSS)."""

    def __init__(self, crew: Crew) -> None:
        self.peak_mb = 0
        self._crew = crew
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_MEMORY_S):
            self.peak_mb = max(self.peak_mb, self._now_mb())

    def _now_mb(self) -> int:
        total = 0
        for process in [*self._crew.workers, *self._crew.postgres]:
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total >> 20


def run(stand: Stand, crew: Crew) -> dict[str, Any]:
    """Bill everyone; seconds, memory and CPU of it."""
    billing = stand.house.billing
    ended: dict[str, float] = {}
    with Memory(crew) as memory:
        before = crew.cpu_s()
        started = time.perf_counter()
        with stand.house.runtime.unit("billing", "benchmark") as unit:
            run_id = billing.start_run(unit, BILL_DATE)
        while (progress := billing.run(run_id)) is not None and progress.state != "done":
            ended[progress.state] = time.perf_counter() - started
            time.sleep(_POLL_S)
        seconds = time.perf_counter() - started
        after = crew.cpu_s()
    assert progress is not None
    cpu = {part: after[part] - before[part] for part in after}
    return {
        "invoices": progress.invoices,
        "seconds": round(seconds, 3),
        "invoices_per_second": round(progress.invoices / seconds),
        "draft_seconds": round(ended.get("drafting", 0.0), 2),
        "shards": progress.shards_total,
        "cpu_seconds": {part: round(spent, 2) for part, spent in cpu.items()},
        "cpu_us_per_invoice": round(sum(cpu.values()) / progress.invoices * 1e6, 1),
        "peak_rss_mb": memory.peak_mb,
        "worker_peak_rss_mb": crew.worker_peak_mb(),
    }


def prepare(stand: Stand, subscribers: int) -> None:
    """The ISP's policies as an operator imports them; a year of its facts, as events would have left them."""
    stand.start_database()
    with tempfile.TemporaryDirectory() as folder:
        policies = Path(folder) / "policies.yaml"
        policies.write_text(POLICIES)
        stand.house.importer.load_policies(policies)
    load(stand.house.database, subscribers)


def measure(subscribers: int, workers: int) -> Mapping[str, Any]:
    folder = default_data_dir().resolve().with_name(f"turnup-bench-{new_id().hex[-8:]}")
    with Stand(folder, {"simulated_clock": "false"}) as stand:
        prepare(stand, subscribers)
        with Crew(stand, workers) as crew:
            figures = run(stand, crew)
        with stand.house.database.engine.connect() as connection:
            lines = connection.scalar(text("SELECT count(*) FROM billing.invoice_line"))
        return {
            "subscribers": subscribers,
            "workers": workers,
            **figures,
            "lines": lines,
            "check": check(stand.house.database, subscribers),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2, help="worker processes (`turnup up`: 2)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - is standard output")
    arguments = parser.parse_args()
    on = machine()
    result = measure(arguments.subscribers, arguments.workers)
    report("bill_run", result, on, arguments.json)
    sys.exit(result["check"] != "equal")


if __name__ == "__main__":
    main()

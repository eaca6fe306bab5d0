"""A whole installation on embedded engines beside a virtual network: for demo, benchmarks and scenarios.

Everything is started in a directory of its own and ended in reverse, whatever happens. The clock moves:
Turnup's and the network's together.
"""

import os
import secrets
import shutil
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from turnup.app.demo.stage import DemoFailed, expect, wait_until
from turnup.app.engine import Engine, start_engine
from turnup.app.house import House, assemble
from turnup.app.migrate import migrate
from turnup.app.processes import Processes, names_of
from turnup.lab.client import LabClient, LabProcess
from turnup.runtime import auth, durable, events
from turnup.runtime.embedded import state
from turnup.runtime.settings import load_settings

_PREFIX = "TURNUP_"


class Stand:
    """`with Stand(data_dir) as stand:`, then start database, lab, processes. `settings` by name, as text."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.port = _free_port()
        self.environment = {
            "TURNUP_DATA_DIR": str(self.data_dir),
            "TURNUP_SIMULATED_CLOCK": "true",
            "TURNUP_HTTP_PORT": str(self.port),
            "TURNUP_WORKERS": "1",
            "TURNUP_REQUESTS_PER_MINUTE": "600000",  # stories and benchmarks poll as fast as they can
            "TURNUP_SNMP_INTERVAL_SECONDS": "1",
            "TURNUP_SESSION_INTERVAL_SECONDS": "0.2",
            "TURNUP_RECONCILIATION_INTERVAL_SECONDS": "3600",
            "TURNUP_LOG_FORMAT": "json",
            "TURNUP_LOG_LEVEL": "warning",
            **{f"{_PREFIX}{name.upper()}": value for name, value in (settings or {}).items()},
        }
        self._cleanup = ExitStack()
        self.token = ""
        self.keep = False
        """Leave data and logs behind (until the next stand in this directory), to see what went wrong."""
        self.engine: Engine
        self.house: House
        self.lab_process: LabProcess
        self.processes: Processes
        self.api: httpx.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    @property
    def lab(self) -> LabClient:
        return self.lab_process.client

    def start_database(self) -> None:
        """Embedded PostgreSQL with an empty, laid-out database; what a former stand left is wiped."""
        if self.data_dir.exists():
            former = state(self.data_dir)
            expect(
                former.supervisor_pid is None, f"pid {former.supervisor_pid} is using {self.data_dir.name}"
            )
            shutil.rmtree(self.data_dir, ignore_errors=True)
        settings = load_settings(
            **{name.removeprefix(_PREFIX).lower(): value for name, value in self.environment.items()}
        )
        self.engine = start_engine(settings, until_pid=os.getpid())
        self._cleanup.callback(self._end_database)
        migrate(self.engine)
        self.house = assemble(settings, self.engine, process="stand")
        self._cleanup.callback(self.house.close)

    def start_lab(self) -> None:
        self.lab_process = LabProcess(
            examples() / "lab" / "network.yaml", self.data_dir / "lab", self.engine.aaa_url
        )
        self._cleanup.enter_context(self.lab_process)

    def start_processes(self) -> None:
        """API, workers, collector; `api` is ready to call, with a token that may do everything."""
        names = names_of(self.house.settings.workers)
        self.processes = Processes(self.environment, self.data_dir / "log", names)
        self.processes.start()
        self._cleanup.callback(self.processes.stop)
        with self.house.database.engine.begin() as connection:
            self.token = auth.issue_token(
                connection, f"stand-{secrets.token_hex(4)}", ["*"], now=self.house.runtime.clock.now()
            )
        self.api = self._cleanup.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{self.port}",
                timeout=30.0,
                headers={"Authorization": f"Bearer {self.token}"},
            )
        )
        wait_until(self._ready, "the API answers", timeout_s=60)

    def pass_time(self, step: timedelta) -> None:
        """Move both clocks, Turnup's and the network's."""
        self.lab.advance_clock(seconds=step.total_seconds())
        self.house.runtime.clock.advance(step)

    def settle(self) -> None:
        """Until every event is handled and no workflow is under way."""
        wait_until(self._quiet, "all events are handled", timeout_s=60)

    def _quiet(self) -> bool:
        with self.house.database.engine.connect() as connection:
            parked = events.parked(connection)
            expect(not parked, f"an event is parked: {parked[:1]}")
            return not durable.pending(connection) and not any(events.lag(connection).values())

    def _ready(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _end_database(self) -> None:
        pid = state(self.data_dir).supervisor_pid
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: state(self.data_dir).supervisor_pid is None, "PostgreSQL stops")
        if not self.keep:
            shutil.rmtree(self.data_dir, ignore_errors=True)


def examples() -> Path:
    """The example files: beside the source in a checkout."""
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / "examples" / "isp" / "catalog.yaml").exists():
            return folder / "examples"
    raise DemoFailed("the examples folder is not here: run the demo from a source checkout (make demo)")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

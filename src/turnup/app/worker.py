"""The worker process: durable workflows, the event pump, and what is done every so often."""

import threading

import structlog

from turnup.app.engine import attach_engine
from turnup.app.house import House, assemble
from turnup.app.observation import observe, publish_metrics
from turnup.app.processes import until_signalled
from turnup.runtime.component import Tick
from turnup.runtime.events import EventPump
from turnup.runtime.settings import Settings

log = structlog.get_logger(__name__)

COLLECTOR = "collector"
WORKER = "worker"


def run_worker(settings: Settings, *, number: int = 1) -> None:
    """Work until told to stop; workflows get a while to finish. `number` tells the workers of a machine
    apart: their logs, traces and metrics."""
    observe(settings, WORKER if number == 1 else f"{WORKER}-{number}")
    house = assemble(settings, attach_engine(settings), process=WORKER)
    publish_metrics(house, 0 if number == 1 else number)
    worker = Worker(house)
    if _released(house):
        worker.start()
        until_signalled()
        worker.stop()
    house.close()


def run_collector(settings: Settings) -> None:
    """Poll the network and read its accounting until told to stop."""
    observe(settings, COLLECTOR)
    house = assemble(settings, attach_engine(settings), process=COLLECTOR)
    publish_metrics(house, 1)
    ticks = Ticks(house, COLLECTOR)
    if _released(house):
        ticks.start()
        until_signalled()
        ticks.stop()
    house.close()


def _released(house: House) -> bool:
    """Wait while restored books are closed: no workflow, event or tick of before may run by itself. False
    when told to stop meanwhile."""
    closed_by = house.runtime.gate.closed_by()
    if closed_by is None:
        return True
    log.warning("waiting_for_release", restored_to=str(closed_by.target_at), by=closed_by.restored_by)
    return until_signalled(or_when=lambda: house.runtime.gate.closed_by() is None)


class Worker:
    """One worker in this process; `Ticks` of the worker kind run beside it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pump = EventPump(house.database.engine.begin, house.consumers())
        self._ticks = Ticks(house, WORKER)
        self.id = house.database.application_name

    def start(self) -> None:
        settings = self._house.settings
        self._house.durable.launch(
            self.id,
            pool_size=settings.database_pool_size,
            threads=settings.worker_concurrency * 2 + 8,
            lease_s=settings.lease_seconds,
            on_takeover=self._worker_gone,
        )
        self._pump.start()
        self._ticks.start()

    def _worker_gone(self, worker: str) -> None:
        for component in self._house.components:
            if component.worker_gone is not None:
                component.worker_gone(worker)

    def stop(self, *, drain_s: int = 10) -> None:
        self._ticks.stop()
        self._pump.stop()
        self._house.durable.stop(drain_s=drain_s)


class Ticks:
    """Runs the components' ticks that belong to this kind of process, each in a thread of its own; of several
    processes one at a time runs a tick."""

    def __init__(self, house: House, where: str) -> None:
        self._house = house
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop, args=(tick,), name=tick.name, daemon=True)
            for component in house.components
            for tick in component.ticks
            if tick.where == where
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _loop(self, tick: Tick) -> None:
        while not self._stopping.wait(tick.every_s):
            try:
                self._alone(tick)
            except Exception:
                log.exception("tick_failed", tick=tick.name)

    def _alone(self, tick: Tick) -> None:
        with self._house.database.alone(tick.name) as mine:
            if mine:
                tick.run()

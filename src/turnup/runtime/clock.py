"""Turnup's clock as its processes share it: the machine's, or that plus an offset kept in the database.

The offset exists for demos, rehearsals and tests (setting `simulated_clock`); without the setting nothing
can move time.
"""

import threading
import time
from datetime import datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import NotAllowed
from turnup.runtime import tables

_REFRESH_S = 0.1


class SharedClock:
    """A clock that every process of one installation reads the same, within a tenth of a second."""

    def __init__(self, engine: Engine, *, simulated: bool) -> None:
        self._engine = engine
        self._simulated = simulated
        self._machine = SystemClock()
        self._offset = timedelta(0)
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def simulated(self) -> bool:
        return self._simulated

    def now(self) -> datetime:
        return self.shift(self._machine.now())

    def shift(self, machine_instant: datetime) -> datetime:
        """The Turnup instant that belongs to an instant stamped by a machine's clock just now."""
        return machine_instant + self._current_offset()

    def advance(self, step: timedelta) -> datetime:
        """Move Turnup's time forward for all processes; raises NotAllowed unless the clock is simulated."""
        if not self._simulated:
            raise NotAllowed(
                "the clock of this installation is the machine's and cannot be moved",
                field="simulated_clock",
                remedy="set TURNUP_SIMULATED_CLOCK=true in a rehearsal installation, never in production",
            )
        if step < timedelta(0):
            raise NotAllowed("time moves forward only", field="step")
        offset = tables.clock
        with self._engine.begin() as connection:
            statement = insert(offset).values(id=1, offset_s=step.total_seconds())
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["id"], set_={"offset_s": offset.c.offset_s + step.total_seconds()}
                )
            )
        with self._lock:
            self._read_at = float("-inf")
        time.sleep(2 * _REFRESH_S)  # until every process has seen it
        return self.now()

    def _current_offset(self) -> timedelta:
        if not self._simulated:
            return timedelta(0)
        with self._lock:
            if time.monotonic() - self._read_at > _REFRESH_S:
                with self._engine.connect() as connection:
                    seconds = connection.scalar(select(tables.clock.c.offset_s))
                self._offset = timedelta(seconds=seconds or 0.0)
                self._read_at = time.monotonic()
            return self._offset

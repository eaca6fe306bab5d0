"""A subscriber's equipment: where it is plugged, what it wants, and how far it has come."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from turnup.lab.nas import Session
from turnup.lab.network_file import Cpe as CpeSpec
from turnup.lab.stanzas import Stanza

State = Literal["blocked", "dialing", "rejected", "online"]


@dataclass(slots=True, eq=False)
class Cpe:
    """One plugged CPE. `state` blocked: the line does not carry, `reason` says why; rejected: AAA says no."""

    spec: CpeSpec
    demand_down_kbps: int
    demand_up_kbps: int
    state: State = "blocked"
    reason: str = "new"
    session: Session | None = None
    dialling: asyncio.Task[None] | None = None
    redial: asyncio.TimerHandle | None = None
    pause_ms: int = 0
    service_key: str = ""

    @property
    def olt(self) -> str:
        return self.spec.at.partition("/")[0]

    @property
    def port(self) -> str:
        return self.spec.at.partition("/")[2]

    def stop_dialling(self) -> None:
        """Forget any attempt under way or planned."""
        if self.redial is not None:
            self.redial.cancel()
            self.redial = None
        if self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None

    def rx_centi_dbm(self) -> int:
        """Optical power at the OLT from this ONT, in 0.01 dBm; given by the serial as by a fibre's length."""
        return -1500 - sum(self.spec.serial.encode()) * 37 % 1000


@dataclass(frozen=True, slots=True)
class Line:
    """A line that carries: the stanzas of both ends and the ports between."""

    service: Stanza
    subscriber: Stanza
    circuit: str
    olt_uplink: str
    bng: str
    bng_port: str

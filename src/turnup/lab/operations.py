"""Control operations: what a person in the POP could do, and the lies.

Every public method is one operation; its keyword arguments are the operation's. They return JSON-able values
and raise ValueError or KeyError naming what is wrong.
"""

import inspect
from collections.abc import Callable
from typing import Literal

from turnup.lab.aaa import AaaServer
from turnup.lab.clock import LabClock
from turnup.lab.coa import CoaListener
from turnup.lab.cpe import Cpe
from turnup.lab.device import Device
from turnup.lab.faults import LieKind, On
from turnup.lab.journal import Journal
from turnup.lab.network_file import Cpe as CpeSpec
from turnup.lab.plant import Plant
from turnup.lab.syslog import Syslog
from turnup.lab.views import ont_facts, session_facts

Json = dict[str, object]


def _named(kind: str, table: dict[str, object], name: str) -> None:
    if name not in table:
        raise ValueError(f"{kind}: no {name}; there are {' '.join(table) or 'none'}")


class Operations:
    """The operations of the control channel."""

    def __init__(
        self,
        plant: Plant,
        clock: LabClock,
        syslog: Syslog,
        journal: Journal,
        aaa: AaaServer | None,
        coa: dict[str, CoaListener],
    ) -> None:
        self._plant = plant
        self._clock = clock
        self._syslog = syslog
        self._journal = journal
        self._aaa = aaa
        self._coa = coa

    def call(self, name: str, arguments: Json) -> object:
        """Run an operation by name."""
        method: Callable[..., object] | None = getattr(self, name, None)
        if method is None or name.startswith("_") or name == "call":
            raise ValueError(f"op: unknown operation {name}; there are {' '.join(self.names())}")
        try:
            inspect.signature(method).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"{name}: {error}; takes {inspect.signature(method)}") from None
        return method(**arguments)

    def names(self) -> list[str]:
        """Every operation."""
        return [
            name
            for name, _ in inspect.getmembers(self, inspect.ismethod)
            if name[0] != "_" and name != "call"
        ]

    def _device(self, name: str) -> Device:
        _named("device", dict(self._plant.devices), name)
        return self._plant.devices[name]

    def _cpe(self, name: str) -> Cpe:
        _named("cpe", dict(self._plant.cpes), name)
        return self._plant.cpes[name]

    # ---- looking

    def status(self) -> Json:
        """Devices, links and how many CPEs are in which state."""
        states: dict[str, int] = {}
        for cpe in self._plant.cpes.values():
            states[cpe.state] = states.get(cpe.state, 0) + 1
        return {
            "now": self._clock.now().isoformat(),
            "devices": {
                name: {
                    "powered": device.powered,
                    "reachable": device.reachable,
                    "boot": device.boot_count,
                    "revision": device.store.revision,
                    "unsaved": device.store.unsaved,
                    "stanzas": len(device.store.running.stanzas),
                    "lies": device.lies.standing(),
                }
                for name, device in self._plant.devices.items()
            },
            "links": {fibre.name: fibre.up for fibre in self._plant.fibres.values()},
            "cpes": states,
            "sessions": {name: len(nas.sessions) for name, nas in self._plant.nas.items()},
            "unacknowledged": {name: nas.unacknowledged() for name, nas in self._plant.nas.items()},
        }

    def cpes(self) -> dict[str, Json]:
        """Every CPE as `cpe` shows it."""
        return {name: self.cpe(name) for name in self._plant.cpes}

    def cpe(self, name: str) -> Json:
        """One CPE: its state, why, and its session."""
        cpe = self._cpe(name)
        facts: Json = {**ont_facts(cpe, self._plant), "name": name, "state": cpe.state, "reason": cpe.reason}
        facts["session"] = None
        for nas in self._plant.nas.values():
            if cpe.session is not None and nas.sessions.get(cpe.session.ident) is cpe.session:
                facts["session"] = session_facts(cpe.session, nas)
        return facts

    def reach(self, name: str, to: Literal["internet", "portal"] = "internet") -> bool:
        """Does a packet of this CPE get there?"""
        return self._plant.reaches(self._cpe(name), to)

    def sessions(self) -> list[Json]:
        """Every session on every BNG, as `show session all`."""
        return [
            session_facts(each, nas) for nas in self._plant.nas.values() for each in nas.sessions.values()
        ]

    def traffic(self) -> dict[str, Json]:
        """Rates (kbit/s) and octets of every online CPE, as the subscriber sees them."""
        now = self._clock.elapsed()
        out: dict[str, Json] = {}
        for name, cpe in self._plant.cpes.items():
            if cpe.session is not None:
                flow = cpe.session.flow
                flow.settle(now)
                out[name] = {
                    "down_kbps": flow.down_kbps,
                    "up_kbps": flow.up_kbps,
                    "down_octets": int(flow.down_octets),
                    "up_octets": int(flow.up_octets),
                }
        return out

    def running(self, device: str) -> list[str]:
        """The running configuration as it truly is."""
        return self._device(device).store.running.lines()

    def startup(self, device: str) -> list[str]:
        """The startup configuration on disk."""
        return self._device(device).store.startup_lines()

    # ---- CPEs

    def plug(
        self,
        name: str,
        at: str,
        serial: str,
        username: str,
        password: str,
        down_kbps: int = 0,
        up_kbps: int = 0,
    ) -> Json:
        """Plug a CPE at `device/port`; down_kbps, up_kbps are what it wants to transfer."""
        spec = CpeSpec(
            name=name, at=at, serial=serial, username=username, password=password,
            down_kbps=down_kbps, up_kbps=up_kbps,
        )  # fmt: skip
        _named("device", dict(self._plant.devices), at.partition("/")[0])
        self._plant.plug(spec)
        self._journal.note("plug", spec.model_dump())
        return self.cpe(name)

    def plug_many(self, cpes: list[Json]) -> int:
        """Plug many, each with the arguments of `plug`."""
        for each in cpes:
            self.call("plug", each)
        return len(cpes)

    def unplug(self, name: str) -> None:
        self._cpe(name)
        self._plant.unplug(name)
        self._journal.note("unplug", {"name": name})

    def set_demand(self, name: str, down_kbps: int, up_kbps: int) -> None:
        """What the CPE wants to transfer, in kbit/s."""
        self._cpe(name)
        self._plant.set_demand(name, down_kbps, up_kbps)
        self._journal.note("set_demand", {"name": name, "down_kbps": down_kbps, "up_kbps": up_kbps})

    def redial(self, name: str) -> None:
        """Make a rejected CPE dial now, not after its pause."""
        self._plant.dial_again(self._cpe(name))

    def interim(self, username: str | None = None) -> int:
        """Send interim accounting now, for one user or all; how many."""
        return sum(nas.interim_all(username) for nas in self._plant.nas.values())

    # ---- power, fibres, console

    def power_off(self, device: str) -> None:
        """Pull the plug: connections and sessions die, unsaved configuration is lost."""
        self._device(device).power_off()

    def power_on(self, device: str) -> None:
        """Boot from the startup configuration."""
        self._device(device).power_on()

    def reboot(self, device: str, away_ms: int | None = None) -> None:
        """Power off, and on again after away_ms (default: the device's boot_ms)."""
        found = self._device(device)
        found.reboot(found.spec.boot_ms if away_ms is None else away_ms)

    def cut_link(self, name: str) -> None:
        """Cut a fibre."""
        _named("link", dict(self._plant.fibres), name)
        self._plant.set_fibre(name, up=False)
        self._journal.note("cut_link", {"name": name})

    def restore_link(self, name: str) -> None:
        """Splice it again."""
        _named("link", dict(self._plant.fibres), name)
        self._plant.set_fibre(name, up=True)
        self._journal.note("restore_link", {"name": name})

    def tamper(self, device: str, lines: list[str], save: bool = False) -> int:  # noqa: FBT001, FBT002
        """Edit running behind the manager's back with set/delete lines; how many stanzas changed."""
        found = self._device(device)
        changed = found.store.write_behind(lines)
        if save:
            found.store.save()
        found.changed(changed, "console")
        return len(changed)

    def reset(self) -> None:
        """The POP as first built: no CPEs, whole fibres, every device in factory state, no lies."""
        for name in list(self._plant.cpes):
            self._plant.unplug(name)
        for fibre in self._plant.fibres:
            self._plant.set_fibre(fibre, up=True)
        self._journal.clear()
        for device in self._plant.devices.values():
            device.factory_reset()
            if device.name in self._coa and device.spec.radius is not None:
                self._coa[device.name].supported = device.spec.radius.coa.supported
        if self._aaa is not None:
            self._aaa.answering = True

    def set_coa(self, device: str, supported: bool) -> None:  # noqa: FBT001
        """Whether the BNG honours CoA-Request (Disconnect is always honoured)."""
        if device not in self._coa:
            raise ValueError(f"device: {device} has no CoA listener")
        self._coa[device].supported = supported

    def set_syslog(self, host: str | None = None, port: int = 514) -> None:
        """Send syslog there; without a host, nowhere."""
        self._syslog.address = (host, port) if host else None

    def set_aaa(self, answering: bool) -> None:  # noqa: FBT001
        """Let the lab's AAA server answer, or play dead."""
        if self._aaa is None:
            raise ValueError("aaa: the lab runs without --aaa-database-url")
        self._aaa.answering = answering

    def advance_clock(self, seconds: float) -> str:
        """Move the lab's time ahead: session time and traffic grow with it. Returns the new instant."""
        self._clock.advance(seconds)
        self._plant.settle()
        return self._clock.now().isoformat()

    # ---- lies

    def lie(
        self,
        device: str,
        kind: LieKind,
        count: int = 1,
        on: On | None = None,
        delay_ms: int = 0,
        keep: int = 1,
        report: Literal["error", "ok"] = "error",
    ) -> list[Json]:
        """Lie about the next `count` operations; what stands afterwards. Kinds: docs/reference/lab.md."""
        found = self._device(device)
        found.lies.add(kind, count=count, on=on, delay_ms=delay_ms, keep=keep, report=report)
        if kind == "unreachable":
            found.drop_connections()
            if delay_ms:
                found.later(delay_ms / 1000, lambda: found.lies.clear("unreachable"))
        return found.lies.standing()

    def clear_lies(self, device: str | None = None) -> None:
        """Tell the truth again, on one device or all."""
        for found in [self._device(device)] if device else list(self._plant.devices.values()):
            found.lies.clear()

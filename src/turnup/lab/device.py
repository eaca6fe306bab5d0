"""A network element: power, reachability, ports, configuration and lies. What is common to OLT and BNG."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from turnup.lab.clock import LabClock
from turnup.lab.datastore import Datastore
from turnup.lab.faults import Lies
from turnup.lab.network_file import Device as DeviceSpec
from turnup.lab.running import RunningConfig
from turnup.lab.stanzas import KINDS, StanzaId
from turnup.lab.syslog import Syslog

VERSION = "tlos 1.0"


@dataclass(slots=True, eq=False)
class Port:
    """An interface. Octets are as IF-MIB sees them: in = received by this device on this port."""

    name: str
    index: int
    speed_mbps: int
    in_octets: float = 0.0
    out_octets: float = 0.0
    oper_up: bool = True
    changed_at: float = 0.0


class Abortable(Protocol):
    """A live management connection that a power cut ends."""

    def abort(self) -> None: ...


class Surroundings(Protocol):
    """What a device tells the plant it stands in."""

    def config_changed(self, device: "Device", changed: list[StanzaId]) -> None: ...
    def power_changed(self, device: "Device") -> None: ...
    def port_oper_up(self, device: "Device", port: str) -> bool: ...
    def clear_session(self, device: "Device", user: str) -> int: ...
    def taking_leave(self, device: "Device") -> None: ...


@dataclass(slots=True, eq=False)
class Device:
    """One element of the network. Not serving while `powered` is False or a lie makes it unreachable."""

    name: str
    spec: DeviceSpec
    clock: LabClock
    syslog: Syslog
    surroundings: Surroundings
    store: Datastore
    ports: dict[str, Port]
    boot_file: Path
    later: Callable[[float, Callable[[], None]], object]
    """Runs a callable after some seconds (the event loop's call_later)."""
    lies: Lies = field(default_factory=Lies)
    powered: bool = False
    boot_count: int = 0
    booted_at: float = 0.0
    connections: set[Abortable] = field(default_factory=set)
    shows: dict[str, Callable[[list[str]], list[str]]] = field(default_factory=dict)
    """`show TOPIC` commands beyond configuration, filled by `views`."""

    @property
    def reachable(self) -> bool:
        """Whether its management plane answers."""
        return self.powered and not self.lies.tells("unreachable")

    def knows(self, username: str, password: str) -> bool:
        """Check a login in constant time."""
        held = self.spec.credentials
        same_user = hmac.compare_digest(username.encode(), held.username.encode())
        return hmac.compare_digest(password.encode(), held.password.encode()) and same_user

    def log(self, msgid: str, text: str) -> None:
        self.syslog.send(self.name, msgid, text)

    def changed(self, ids: list[StanzaId], who: str) -> None:
        """A commit took effect: log it, save it where so configured, tell the plant."""
        if self.spec.autosave:
            self.store.save()
        if ids:
            self.log("COMMIT", f"revision {self.store.revision} by {who}, {len(ids)} stanzas")
            self.surroundings.config_changed(self, ids)

    def power_off(self) -> None:
        """The plug is pulled: connections die, running configuration is forgotten at the next boot."""
        if not self.powered:
            return
        self.powered = False
        self.drop_connections()
        self.surroundings.power_changed(self)

    def power_on(self) -> None:
        """Boot from the startup configuration."""
        if self.powered:
            return
        self.store.boot()
        self.boot_count = self._count_boot()
        self.booted_at = self.clock.elapsed()
        for port in self.ports.values():
            port.in_octets = port.out_octets = 0.0  # counters start anew at boot, as sysUpTime does
        self.powered = True
        self.log("BOOT", f"{VERSION} boot {self.boot_count}")
        self.surroundings.power_changed(self)

    def reboot(self, away_ms: int) -> None:
        """Off now, on again after `away_ms`."""
        self.power_off()
        self.later(away_ms / 1000, self.power_on)

    def factory_reset(self) -> None:
        """As delivered: no configuration, first boot, no lies. Switches it off and on."""
        self.lies.clear()
        self.power_off()
        self.store.wipe()
        self.boot_file.unlink(missing_ok=True)
        self.power_on()

    def drop_connections(self) -> None:
        for connection in list(self.connections):
            connection.abort()
        self.connections.clear()

    def _count_boot(self) -> int:
        count = int(self.boot_file.read_text()) + 1 if self.boot_file.exists() else 1
        self.boot_file.write_text(str(count))
        return count


def build_device(
    name: str,
    spec: DeviceSpec,
    state_dir: Path,
    clock: LabClock,
    syslog: Syslog,
    surroundings: Surroundings,
    later: Callable[[float, Callable[[], None]], object],
) -> Device:
    """A device, powered off, whose startup configuration lies in STATE_DIR/devices/NAME."""
    home = state_dir / "devices" / name
    home.mkdir(parents=True, exist_ok=True)
    speeds = spec.port_speeds()
    ports = {port: Port(port, index, speed) for index, (port, speed) in enumerate(speeds.items(), start=1)}
    running = RunningConfig(KINDS[spec.kind], ports.__contains__)
    store = Datastore(running, home / "startup.conf")
    return Device(name, spec, clock, syslog, surroundings, store, ports, home / "boot_count", later)

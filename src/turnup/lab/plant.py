"""The outside plant and what follows from it: which line carries, who is online, what flows.

Everything is driven by events (a commit, a cut fibre, a power switch, a plug); nothing is polled. After each
event the CPEs it can concern are looked at anew.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from turnup.lab.clock import LabClock
from turnup.lab.cpe import Cpe, Line
from turnup.lab.device import Device, Port
from turnup.lab.nas import Login, Nas, Session
from turnup.lab.network_file import Cpe as CpeSpec
from turnup.lab.network_file import Network
from turnup.lab.radius import WALLED, ServerGone
from turnup.lab.stanzas import Stanza, StanzaId
from turnup.lab.traffic import Flow, rate

SETTLE_EVERY_S = 0.05


@dataclass(slots=True, eq=False)
class Fibre:
    """A link between an OLT's uplink port and a BNG port."""

    name: str
    olt: str
    olt_port: str
    bng: str
    bng_port: str
    up: bool = True


class Plant:
    """Devices, fibres and CPEs. Implements device.Surroundings."""

    def __init__(self, network: Network, clock: LabClock) -> None:
        self._network = network
        self._clock = clock
        self.devices: dict[str, Device] = {}
        self.nas: dict[str, Nas] = {}
        self.fibres = {link.name: self._fibre(link.name, link.a, link.b) for link in network.links}
        self.cpes: dict[str, Cpe] = {}
        self._at_port: dict[tuple[str, str], dict[str, Cpe]] = {}
        self._settled_at = 0.0

    def _fibre(self, name: str, a: str, b: str) -> Fibre:
        ends = sorted((a.partition("/")[::2], b.partition("/")[::2]), key=lambda end: self._kind(end[0]))
        if [self._kind(end[0]) for end in ends] != ["bng", "olt"]:
            raise ValueError(f"links {name}: a link joins an olt and a bng")
        (bng, bng_port), (olt, olt_port) = ends
        return Fibre(name, olt, olt_port, bng, bng_port)

    def _kind(self, device: str) -> str:
        return self._network.devices[device].kind

    # ---- physical operations

    def plug(self, spec: CpeSpec) -> Cpe:
        """Plug a CPE; one of the same name is unplugged first."""
        if spec.at.partition("/")[2] not in self._network.devices[spec.at.partition("/")[0]].port_speeds():
            raise ValueError(f"at: no port {spec.at}")
        if spec.name in self.cpes:
            self.unplug(spec.name)
        cpe = Cpe(spec, spec.down_kbps, spec.up_kbps)
        self.cpes[spec.name] = cpe
        self._at_port.setdefault((cpe.olt, cpe.port), {})[spec.name] = cpe
        self.refresh([cpe])
        return cpe

    def unplug(self, name: str) -> None:
        cpe = self.cpes.pop(name)
        del self._at_port[(cpe.olt, cpe.port)][name]
        self._block(cpe, "unplugged")

    def set_demand(self, name: str, down_kbps: int, up_kbps: int) -> None:
        cpe = self.cpes[name]
        cpe.demand_down_kbps, cpe.demand_up_kbps = down_kbps, up_kbps
        self.refresh([cpe])

    def set_fibre(self, name: str, *, up: bool) -> None:
        """Cut or restore a link; both ends see it."""
        fibre = self.fibres[name]
        if fibre.up == up:
            return
        self.settle()
        fibre.up = up
        self._watch_ports(self.devices[fibre.olt])
        self._watch_ports(self.devices[fibre.bng])
        self._refresh_device(fibre.olt)

    # ---- what devices tell (Surroundings)

    def config_changed(self, device: Device, changed: list[StanzaId]) -> None:
        if any(kind == "port" for kind, _ in changed):
            self._watch_ports(device)
            self._refresh_device(device.name)
            return
        ports: set[tuple[str, str]] = set()
        for kind, key in changed:
            for stanza in (device.store.running.get(kind, key), device.store.previous().get((kind, key))):
                if stanza is not None:
                    ports |= self._ports_of(device, stanza)
        self.refresh(cpe for spot in ports for cpe in self._at_port.get(spot, {}).values())

    def _ports_of(self, device: Device, stanza: Stanza) -> set[tuple[str, str]]:
        if "port" in stanza.leaves:
            return {(device.name, stanza.leaves["port"])}
        olt, _, rest = stanza.leaves.get("access", "").partition("/")
        return {(olt, rest.rpartition("/")[0])}

    def power_changed(self, device: Device) -> None:
        nas = self.nas.get(device.name)
        if nas is not None and not device.powered:
            for cpe in self.cpes.values():
                if cpe.session is not None and cpe.session.ident in nas.sessions:
                    cpe.session = None
            nas.died()
        if nas is not None and device.powered:
            nas.powered()
        for fibre in self.fibres.values():
            if device.name in (fibre.olt, fibre.bng):
                other = fibre.bng if device.name == fibre.olt else fibre.olt
                self._watch_ports(self.devices[other])
        self._watch_ports(device)
        self._refresh_device(device.name)

    def port_oper_up(self, device: Device, port: str) -> bool:
        """Admin up and, for an uplink, light from a living neighbour over an uncut fibre."""
        stanza = device.store.running.get("port", port)
        if stanza is not None and stanza.leaves.get("admin") == "down":
            return False
        for fibre in self.fibres.values():
            if (fibre.olt, fibre.olt_port) == (device.name, port):
                return fibre.up and self._lit(fibre.bng, fibre.bng_port)
            if (fibre.bng, fibre.bng_port) == (device.name, port):
                return fibre.up and self._lit(fibre.olt, fibre.olt_port)
        return port.startswith("pon")

    def _lit(self, name: str, port: str) -> bool:
        device = self.devices[name]
        stanza = device.store.running.get("port", port)
        return device.powered and (stanza is None or stanza.leaves.get("admin") != "down")

    def clear_session(self, device: Device, user: str) -> int:
        nas = self.nas[device.name]
        sessions = nas.of_user(user)
        for session in sessions:
            nas.end(session, "Admin-Reset")
        return len(sessions)

    def taking_leave(self, device: Device) -> None:
        """An orderly reboot is about to happen: a BNG closes its accounts."""
        if device.name in self.nas:
            self.nas[device.name].take_leave()

    def _watch_ports(self, device: Device) -> None:
        """Note (and log) ports that went up or down."""
        if not device.powered:
            return
        for port in device.ports.values():
            up = self.port_oper_up(device, port.name)
            if up != port.oper_up:
                port.oper_up = up
                port.changed_at = self._clock.elapsed()
                device.log("LINK_UP" if up else "LINK_DOWN", f"interface {port.name}")

    # ---- consequences

    def _refresh_device(self, name: str) -> None:
        """Look again at every CPE that may pass this device."""
        olts = {fibre.olt for fibre in self.fibres.values() if name in (fibre.olt, fibre.bng)} | {name}
        self.refresh(cpe for cpe in list(self.cpes.values()) if cpe.olt in olts)

    def refresh(self, cpes: Iterable[Cpe]) -> None:
        """Bring these CPEs to what their lines allow now."""
        for cpe in list(cpes):
            line = self.line_of(cpe)
            if isinstance(line, str):
                self._block(cpe, line)
            elif cpe.session is not None:
                self._keep(cpe, cpe.session, line)
            else:
                self._dial(cpe)

    def line_of(self, cpe: Cpe) -> Line | str:
        """The line this CPE has, or why it has none."""
        olt = self.devices[cpe.olt]
        if not olt.powered:
            return "olt down"
        port = olt.store.running.get("port", cpe.port)
        if port is not None and port.leaves.get("admin") == "down":
            return "pon port down"
        services = [
            s for s in olt.store.running.holders("ont", cpe.spec.serial) if s.leaves["port"] == cpe.port
        ]
        if not services:
            return "ont not registered"
        why = ""
        for service in services:
            line = self._path(olt, service, cpe)
            if not isinstance(line, str):
                return line
            why = line
        return why

    def _path(self, olt: Device, service: Stanza, cpe: Cpe) -> Line | str:
        if service.leaves.get("admin") == "down":
            return "service admin down"
        if "vlan" not in service.leaves:
            return "no vlan"
        circuit = f"{olt.name}/{cpe.port}/{service.leaves['vlan']}"
        why = "uplink down"
        for fibre in self.fibres.values():
            if fibre.olt != olt.name or not self.port_oper_up(olt, fibre.olt_port):
                continue
            bng = self.devices[fibre.bng]
            for subscriber in bng.store.running.holders("access", circuit):
                return Line(service, subscriber, circuit, fibre.olt_port, fibre.bng, fibre.bng_port)
            why = "no subscriber on the bng for this circuit"
        return why

    def _block(self, cpe: Cpe, reason: str) -> None:
        cpe.stop_dialling()
        cpe.pause_ms = 0
        cpe.state, cpe.reason = "blocked", reason
        session, cpe.session = cpe.session, None
        if session is not None:
            for nas in self.nas.values():
                if session.ident in nas.sessions and nas.sessions[session.ident] is session:
                    nas.drop(session, "Lost-Carrier")

    def _keep(self, cpe: Cpe, session: Session, line: Line) -> None:
        """An online session under a possibly changed configuration: good, or dialled anew."""
        fault = _mismatch(session, line)
        moved = session.circuit != line.circuit or session.ident not in self.nas[line.bng].sessions
        if fault or moved:
            self._block(cpe, fault or "line moved")
            self._dial(cpe)
            return
        session.flow.settle(self._clock.elapsed())
        session.flow.olt_uplink = self.devices[cpe.olt].ports[line.olt_uplink]
        session.flow.bng_port = self.devices[line.bng].ports[line.bng_port]
        self._shape(cpe, session, line)

    def _shape(self, cpe: Cpe, session: Session, line: Line) -> None:
        walled = session.filter_id == WALLED or line.subscriber.leaves.get("walled") == "yes"
        down = (int(line.service.leaves.get("down-kbps", 0)), int(line.subscriber.leaves.get("down-kbps", 0)))
        up = (int(line.service.leaves.get("up-kbps", 0)), int(line.subscriber.leaves.get("up-kbps", 0)))
        session.flow.shape(
            self._clock.elapsed(),
            rate(cpe.demand_down_kbps, (*down, session.down_kbps), walled=walled),
            rate(cpe.demand_up_kbps, (*up, session.up_kbps), walled=walled),
        )
        cpe.service_key = line.service.ident[1]

    def reaches(self, cpe: Cpe, to: str) -> bool:
        """Whether a packet of this CPE gets to `internet` or `portal` (payment page)."""
        line = self.line_of(cpe)
        if cpe.session is None or isinstance(line, str):
            return False
        walled = cpe.session.filter_id == WALLED or line.subscriber.leaves.get("walled") == "yes"
        return to == "portal" or not walled

    # ---- dialling

    def _dial(self, cpe: Cpe) -> None:
        if cpe.redial is not None:
            cpe.redial.cancel()
            cpe.redial = None
        if cpe.dialling is None:
            cpe.state, cpe.reason = "dialing", ""
            cpe.dialling = asyncio.get_running_loop().create_task(self._attempt(cpe))

    def dial_again(self, cpe: Cpe) -> None:
        """Dial now instead of after the pause."""
        cpe.pause_ms = 0
        self.refresh([cpe])

    async def _attempt(self, cpe: Cpe) -> None:
        line = self.line_of(cpe)
        if isinstance(line, str):  # pragma: no cover - refresh looked a moment ago
            cpe.dialling = None
            return
        nas = self.nas[line.bng]
        olt, bng = self.devices[cpe.olt], self.devices[line.bng]
        flow = self._flow(olt.ports[cpe.port], olt.ports[line.olt_uplink], bng.ports[line.bng_port])
        login = Login(cpe.spec.username, cpe.spec.password, line.circuit)
        answer: Session | str = "no answer from AAA"
        with contextlib.suppress(ServerGone):
            answer = await nas.dial(login, flow)
        cpe.dialling = None
        line = self.line_of(cpe)  # the world may have changed while AAA was thinking
        if isinstance(line, str):
            self._block(cpe, line)
        elif isinstance(answer, str):
            self._fail(cpe, answer)
        elif fault := _mismatch(answer, line):
            self._fail(cpe, fault)
        elif answer.circuit != line.circuit:
            self._fail(cpe, "line moved")
        else:
            self._enter(cpe, nas, answer, line)

    def _flow(self, pon: Port, olt_uplink: Port, bng_port: Port) -> Flow:
        return Flow(pon, olt_uplink, bng_port, self._clock.elapsed())

    def _enter(self, cpe: Cpe, nas: Nas, session: Session, line: Line) -> None:
        cpe.session, cpe.state, cpe.reason, cpe.pause_ms = session, "online", "", 0
        session.flow.since = self._clock.elapsed()
        session.changed = lambda: self.refresh([cpe])
        self._shape(cpe, session, line)
        nas.enter(session)

    def _fail(self, cpe: Cpe, reason: str) -> None:
        cpe.state, cpe.reason = "rejected", reason
        cpe.pause_ms = min(cpe.pause_ms * 2 or self._network.redial_ms, self._network.redial_max_ms)
        loop = asyncio.get_running_loop()
        cpe.redial = loop.call_later(cpe.pause_ms / 1000, self.refresh, [cpe])

    def session_ended(self, session: Session, cause: str) -> None:
        """A NAS ended a session by itself (AAA said so, time was up): the CPE dials again at once."""
        for cpe in self._at_port.get(_spot(session.circuit), {}).values():
            if cpe.session is session:
                cpe.session = None
                cpe.state, cpe.reason = "dialing", cause
                self.refresh([cpe])
                return

    # ---- reading

    def settle(self) -> None:
        """Bring all counters up to now (at most every 50 ms; flows are exact in between)."""
        now = self._clock.elapsed()
        if now - self._settled_at < SETTLE_EVERY_S:
            return
        self._settled_at = now
        for nas in self.nas.values():
            for session in nas.sessions.values():
                session.flow.settle(now)

    def onts(self, olt: str, port: str | None = None) -> list[Cpe]:
        """The CPEs plugged at an OLT, or at one of its ports."""
        if port is not None:
            return list(self._at_port.get((olt, port), {}).values())
        return [cpe for cpe in self.cpes.values() if cpe.olt == olt]


def _mismatch(session: Session, line: Line) -> str:
    """Why the BNG does not let this session pass: its addresses are not those of the subscriber stanza."""
    leaves = line.subscriber.leaves
    if leaves.get("username") != session.username:
        return "user is not the circuit's subscriber"
    for leaf, held in (("ipv4", session.ipv4), ("ipv6-wan", session.ipv6_wan), ("ipv6-pd", session.ipv6_pd)):
        if leaf in leaves and held and leaves[leaf] != held:
            return f"{leaf} from AAA is not the configured one"
    return ""


def _spot(circuit: str) -> tuple[str, str]:
    olt, _, rest = circuit.partition("/")
    return olt, rest.rpartition("/")[0]

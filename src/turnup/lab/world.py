"""Assembly of the lab: reads the network file, binds every port, starts every server, writes endpoints.json.

Ports once given are kept: a lab restarted on the same state directory listens where it did before, so that
whoever wrote its addresses down finds it again.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
from pathlib import Path

from turnup.lab.aaa import AaaServer
from turnup.lab.clock import LabClock
from turnup.lab.coa import CoaListener, serve_coa
from turnup.lab.control import ControlServer
from turnup.lab.device import build_device
from turnup.lab.journal import Journal
from turnup.lab.nas import Nas
from turnup.lab.network_file import Device as DeviceSpec
from turnup.lab.network_file import NasRadius, Network
from turnup.lab.operations import Operations
from turnup.lab.plant import Plant
from turnup.lab.snmp import serve_snmp
from turnup.lab.ssh import host_key, serve_ssh
from turnup.lab.syslog import Syslog
from turnup.lab.views import add_views

Address = tuple[str, int]
RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024


class _Binder:
    """Binds ports; those picked freely are the same at every start of one state directory."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, int] = json.loads(memory.read_text()) if memory.exists() else {}

    def tcp(self, name: str, wanted: Address) -> socket.socket:
        return self._bind(name, wanted, socket.SOCK_STREAM)

    def udp(self, name: str, wanted: Address) -> socket.socket:
        made = self._bind(name, wanted, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
        return made

    def _bind(self, name: str, wanted: Address, kind: socket.SocketKind) -> socket.socket:
        host, port = wanted
        for candidate in dict.fromkeys((port or self._known.get(name, 0), port)):
            made = socket.socket(socket.AF_INET, kind)
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setblocking(False)  # noqa: FBT003
            try:
                made.bind((host, candidate))
            except OSError:
                made.close()
                continue
            self._known[name] = made.getsockname()[1]
            return made
        raise OSError(f"{name}: cannot listen on {host}:{port}")

    def remember(self) -> None:
        self._memory.write_text(json.dumps(self._known))


class World:
    """A running lab."""

    def __init__(self, network: Network, state_dir: Path, database_url: str | None) -> None:
        self._network = network
        self._state = state_dir
        self._database_url = database_url
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = LabClock()
        self._syslog = Syslog(self._clock, network.syslog)
        self._plant = Plant(network, self._clock)
        self._binder = _Binder(state_dir / "ports.json")
        self._journal = Journal(state_dir / "plant.jsonl")
        self._aaa: AaaServer | None = None
        self._coa: dict[str, CoaListener] = {}
        self._radius: dict[str, list[object]] | None = None

    async def start(self) -> None:
        """Everything up; endpoints.json is written last."""
        own = await self._start_aaa()
        elements = {
            name: await self._start_device(name, spec, own) for name, spec in self._network.devices.items()
        }
        for device in self._plant.devices.values():
            device.power_on()
        self.operations = Operations(
            self._plant, self._clock, self._syslog, self._journal, self._aaa, self._coa
        )
        self._replay()
        control = self._binder.tcp("control", self._network.control)
        token = secrets.token_urlsafe(24)
        await ControlServer(self.operations, token).serve(control)
        self._binder.remember()
        endpoints = {
            "pid": os.getpid(),
            "pop": self._network.pop,
            "elements": elements,
            "radius": self._radius,
            "control": list(control.getsockname()),
            "token": token,
        }
        self._publish(json.dumps(endpoints, indent=2) + "\n")

    def _publish(self, text: str) -> None:
        scratch = self._state / "endpoints.json.new"
        scratch.touch(mode=0o600)
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(self._state / "endpoints.json")

    def _replay(self) -> None:
        self._journal.replaying(on=True)
        for spec in self._network.cpes:
            self._plant.plug(spec)
        for op, arguments in self._journal.replay():
            with contextlib.suppress(ValueError):  # the network file may have lost what it speaks of
                self.operations.call(op, arguments)
        self._journal.replaying(on=False)

    async def _start_aaa(self) -> tuple[Address, Address, bytes] | None:
        if self._database_url is None:
            return None
        spec = self._network.aaa
        auth, acct = self._binder.udp("aaa auth", spec.auth), self._binder.udp("aaa acct", spec.acct)
        addresses = auth.getsockname(), acct.getsockname()
        self._aaa = AaaServer(spec, self._database_url)
        await self._aaa.start(auth, acct)
        self._radius = {"auth": list(addresses[0]), "acct": list(addresses[1])}
        return (*addresses, spec.secret.encode())

    async def _start_device(
        self, name: str, spec: DeviceSpec, own: tuple[Address, Address, bytes] | None
    ) -> dict[str, object]:
        later = asyncio.get_running_loop().call_later
        device = build_device(name, spec, self._state, self._clock, self._syslog, self._plant, later)
        self._plant.devices[name] = device
        key = host_key(self._state, name)
        ssh = self._binder.tcp(f"{name} ssh", spec.ssh)
        snmp = self._binder.udp(f"{name} snmp", spec.snmp.listen)
        await serve_ssh(device, ssh, key)
        await serve_snmp(device, self._plant, snmp)
        public = key.export_public_key().decode().split()
        element: dict[str, object] = {
            "kind": spec.kind,
            "ssh": list(ssh.getsockname()),
            "ssh_host_key": " ".join(public[:2]),
            "ssh_host_key_fingerprint": key.get_fingerprint(),
            "snmp": [*snmp.getsockname(), spec.snmp.community],
        }
        nas = None
        if spec.radius is not None:
            nas = self._build_nas(name, spec.radius, own)
            coa = self._binder.udp(f"{name} coa", spec.radius.coa.listen)
            self._coa[name] = await serve_coa(nas, coa)
            element["coa"] = list(coa.getsockname())
        add_views(device, self._plant, nas)
        return element

    def _build_nas(self, name: str, spec: NasRadius, own: tuple[Address, Address, bytes] | None) -> Nas:
        servers = [(each.auth, each.acct, each.secret.encode()) for each in spec.servers]
        if not servers and own is not None:
            servers = [own]
        nas = Nas(self._plant.devices[name], spec, servers)
        nas.on_end(self._plant.session_ended)
        self._plant.nas[name] = nas
        return nas

    async def stop(self) -> None:
        """Let go of what the operating system would not take back by itself."""
        for nas in self._plant.nas.values():
            nas.close()
        if self._aaa is not None:
            await self._aaa.close()
        self._syslog.close()


async def run(network: Network, state_dir: Path, database_url: str | None, *, with_parent: bool) -> None:
    """Run a lab until SIGTERM or SIGINT or, with_parent, until the process that started it is gone."""
    world = World(network, state_dir, database_url)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parent = os.getppid()
    await world.start()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0 if with_parent else None)
        if with_parent and os.getppid() != parent:
            break
    await world.stop()

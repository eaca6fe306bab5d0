"""The BNG's own programs and kernel: carries out what `enforcement` describes, for live sessions."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from turnup.lab.real.pppoe import dhcp6, enforcement
from turnup.lab.real.pppoe.sessions import Session, Sessions
from turnup.lab.real.relay6 import client_socket

_LINKS = Path("/sys/class/net")


class Box:
    """Implements dynamic.Enforcer. `garden`: addresses a walled subscriber reaches; the first IPv6 one is
    told to routers as resolver."""

    def __init__(self, sessions: Sessions, garden: Sequence[str], mac: str, folder: Path) -> None:
        self._sessions = sessions
        self._garden = garden
        self._resolver = next(address for address in garden if ":" in address)
        self._duid = dhcp6.server_duid(mac)
        self._folder = folder
        self._daemons: dict[str, tuple[subprocess.Popen[bytes], socket.socket]] = {}
        self.pids: dict[str, int] = {}
        """pppd of each line."""

    def open(self, session: Session, interface: str) -> None:
        """Her interface is there: rates and admission, before a packet passes. Safe to repeat."""
        if session.interface == interface:
            return
        for other in self._sessions.on_interface(interface):
            other.interface = None  # of a session that has ended: the kernel gives numbers again
        session.interface = interface
        self._shut(session.unit)
        self._drop_link(enforcement.upload_device(interface))
        links, lines = enforcement.shaping(session)
        _batch(["ip"], links)
        _batch(["tc"], lines)
        self._admit(session)

    def open6(self, session: Session) -> None:
        """Her link speaks IPv6: the way to her prefixes, router advertisements, prefix delegation."""
        assert session.interface is not None
        self._stop_daemons(session.interface)
        _batch(["ip", "-6"], enforcement.prefix_routes(session))
        if session.wan6:
            self._daemons[session.interface] = (self._advertise(session), self._delegate(session))

    def changed(self, session: Session) -> None:
        """New rates and walls of a live session."""
        if session.interface is None:
            return  # not up yet: it will come up with these
        _batch(["tc"], enforcement.rates(session))
        self._shut(session.unit)
        self._admit(session)

    def end(self, session: Session, cause: str) -> None:
        """She hangs up, told to: pppd takes leave of her router and reports what it counted."""
        session.ended_by = cause
        if session.interface is not None:
            self._shut(session.unit)
        pid = self.pids.get(session.line)
        if pid is not None:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                return

    def close(self, session: Session) -> None:
        """Her pppd is gone: so is all that was made for it."""
        if session.interface is None:
            return
        self._stop_daemons(session.interface)
        self._shut(session.unit)
        self._drop_link(enforcement.upload_device(session.interface))
        session.interface = None

    def _admit(self, session: Session) -> None:
        for family, lines in enforcement.admission(session, self._garden).items():
            _batch(["ip", family], lines)

    @staticmethod
    def _shut(unit: int) -> None:
        """Rules that are not there are no error; those that are go."""
        for family in enforcement.FAMILIES:
            _batch(["ip", family, "-force"], enforcement.shut(unit), must=False)

    @staticmethod
    def _drop_link(name: str) -> None:
        if (_LINKS / name).exists():
            _batch(["ip"], [f"link del {name}"])

    def _advertise(self, session: Session) -> "subprocess.Popen[bytes]":
        conf = self._folder / f"radvd-{session.interface}.conf"
        conf.write_text(enforcement.advertisement(session, self._resolver), encoding="utf-8")
        return subprocess.Popen(
            ["radvd", "-n", "-C", conf, "-p", conf.with_suffix(".pid"), "-m", "stderr"],
            stdin=subprocess.DEVNULL,
        )

    def _delegate(self, session: Session) -> socket.socket:
        assert session.interface is not None
        listening = client_socket(session.interface)
        asyncio.get_running_loop().add_reader(listening, self._answer6, listening, session)
        return listening

    def _answer6(self, listening: socket.socket, session: Session) -> None:
        data, address = listening.recvfrom(4096)
        try:
            answer = dhcp6.answer(data, session.pd6, self._resolver, self._duid)
        except ValueError:
            return
        if answer is not None:
            listening.sendto(answer, address)

    def _stop_daemons(self, interface: str) -> None:
        advertising, listening = self._daemons.pop(interface, (None, None))
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        if advertising is not None:
            advertising.terminate()
            advertising.wait()


def _batch(program: Sequence[str], lines: Sequence[str], *, must: bool = True) -> None:
    """Run all lines in one process; OSError where one of them failed and all must work."""
    if not lines:
        return
    done = subprocess.run(
        [*program, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    if must and done.returncode != 0:
        raise OSError(f"{' '.join(program)}: {done.stderr.strip()} in: {'; '.join(lines)}")

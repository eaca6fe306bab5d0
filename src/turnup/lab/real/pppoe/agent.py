"""The BNG's control plane: ``python -m turnup.lab.real.pppoe.agent bng.json``, inside the guest.

pppd asks it by RADIUS on loopback; scripts of pppd and pppoe-server tell it what becomes of a session; the
AAA servers are asked, and dynamic authorization heard, on the management interface only.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyrad.packet import AccessAccept, AcctPacket, AuthPacket, Packet

from turnup.lab.clock import LabClock
from turnup.lab.radius import ACCT_CODE, RadiusClient, new_acct, text_of
from turnup.lab.real.pppoe.box import Box
from turnup.lab.real.pppoe.dynamic import DynamicAuthorization
from turnup.lab.real.pppoe.relay import (
    Accounting,
    AcctRelay,
    AuthRelay,
    Nas,
    access_request,
    accounting_request,
    counters_of,
)
from turnup.lab.real.pppoe.sessions import Session, Sessions

EVENTS_PORT = 1700
_LOOPBACK = "127.0.0.1"
_AUTH, _ACCT, _COA = 1812, 1813, 3799
_TIMEOUT_MS, _TRIES = 1600, 2
"""Longer than the second a rejected device waits for its answer."""


class Agent:
    """Everything by the lines of `bng.json` (turnup.lab.real.pppoe.access writes it)."""

    def __init__(self, settings: Mapping[str, Any], folder: Path) -> None:
        self._settings = settings
        self._nas = Nas(settings["nas"], settings["management"], settings["interim_s"])
        self._clock = LabClock()
        self._boot = self._now_s()
        self._sessions = Sessions(self._boot)
        self._box = Box(self._sessions, settings["garden"], settings["mac"], folder)
        self._auth = self._client(_AUTH)
        self._accounting = Accounting(self._client(_ACCT))

    def _client(self, port: int) -> RadiusClient:
        servers = [((each["host"], port), each["secret"].encode()) for each in self._settings["servers"]]
        return RadiusClient(servers, _TIMEOUT_MS, _TRIES, self._clock.elapsed)

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())

    async def serve(self) -> None:
        """Until killed."""
        loop = asyncio.get_running_loop()
        local = self._settings["local_secret"].encode()
        await loop.create_datagram_endpoint(
            lambda: AuthRelay(local, self._nas, self._authorize), local_addr=(_LOOPBACK, _AUTH)
        )
        await loop.create_datagram_endpoint(
            lambda: AcctRelay(local, self._account), local_addr=(_LOOPBACK, _ACCT)
        )
        coa = self._settings["coa_secret"].encode()
        await loop.create_datagram_endpoint(
            lambda: DynamicAuthorization(self._nas.name, coa, self._sessions, self._box),
            sock=_management_socket(self._settings["management"]),
        )
        self._accounting.tell(self._booted)
        server = await asyncio.start_server(self._hear, _LOOPBACK, EVENTS_PORT)
        Path("/run/agent-ready").touch()
        async with server:
            await server.serve_forever()

    def _booted(self, secret: bytes) -> AcctPacket:
        packet = new_acct(secret)
        packet["Acct-Status-Type"] = ACCT_CODE["on"]
        packet["Acct-Session-Id"] = f"{self._boot:08x}"
        packet["Event-Timestamp"] = self._boot
        packet["NAS-Identifier"] = self._nas.name
        packet["NAS-IP-Address"] = self._nas.address
        return packet

    async def _authorize(self, asked: AuthPacket) -> Session | None:
        """She is let in as the AAA server says; her older session ends, if there is one."""
        reply = await self._auth.ask(lambda secret: access_request(self._nas, asked, secret))
        if reply.code != AccessAccept:
            return None
        line, username = text_of(asked, "Called-Station-Id"), text_of(asked, "User-Name")
        for older in self._sessions.of_user(username):
            if older.line != line:
                self._box.end(older, "NAS-Error")
        return self._sessions.authorized(line, username, reply)

    def _account(self, line: str, status: str, asked: Packet) -> None:
        session = self._sessions.on(line)
        if session is None or status not in ACCT_CODE:
            return
        counters, at_s = counters_of(asked, session.ended_by), self._now_s()
        self._accounting.tell(
            lambda secret: accounting_request(self._nas, session, status, counters, at_s, secret)
        )

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One event: ``start LINE PID``, ``up IFACE LINE``, ``up6 IFACE LINE``, ``gone LINE``."""
        words = (await reader.readline()).decode().split()
        try:
            self._happened(*words)
            writer.write(b"ok\n")
        except (OSError, TypeError, ValueError) as error:
            sys.stderr.write(f"{' '.join(words)}: {error}\n")
            writer.write(b"failed\n")
        sys.stderr.flush()
        writer.close()

    def _happened(self, event: str, first: str, second: str = "") -> None:
        if event == "start":
            self._box.pids[first] = int(second)
        elif event == "gone":
            self._box.pids.pop(first, None)
            session = self._sessions.forget(first)
            if session is not None:
                self._box.close(session)
        elif event in ("up", "up6"):
            session = self._sessions.on(second)
            if session is None:
                raise ValueError("no session on this line")
            self._box.open(session, first)
            if event == "up6":
                self._box.open6(session)
        else:
            raise ValueError("no such event")


def _management_socket(address: str) -> socket.socket:
    """Subscribers cannot speak to it, whatever address they write to."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"mgmt")
    listening.settimeout(0)
    listening.bind((address, _COA))
    return listening


def main() -> None:
    path = Path(sys.argv[1])
    settings = json.loads(path.read_text(encoding="utf-8"))
    asyncio.run(Agent(settings, path.parent).serve())


if __name__ == "__main__":
    main()

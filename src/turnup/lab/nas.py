"""The BNG as a NAS: dials RADIUS for a CPE, holds its session, accounts for it until the server has it.

Decides nothing about lines (that is `plant`); answers no CoA (that is `coa`).
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from pyrad.packet import AccessAccept, AcctPacket, AuthPacket, Packet

from turnup.lab.device import Device
from turnup.lab.network_file import NasRadius
from turnup.lab.radius import (
    ACCT_CODE,
    CAUSE_CODE,
    UINT32_MAX,
    RadiusClient,
    ServerGone,
    new_acct,
    new_auth,
    one,
    text_of,
)
from turnup.lab.traffic import Flow

RATE_UNLIMITED = 100_000_000
BACKLOG_MAX = 20_000


@dataclass(slots=True, eq=False)
class Session:
    """A subscriber online. Rates in kbit/s, times in lab seconds (`LabClock.elapsed`)."""

    ident: str
    username: str
    circuit: str
    flow: Flow
    started: float
    ipv4: str
    ipv6_wan: str
    ipv6_pd: str
    down_kbps: int
    up_kbps: int
    filter_id: str
    timeout_s: int
    class_: bytes
    expiry: asyncio.TimerHandle | None = None
    changed: Callable[[], None] = lambda: None
    """Called after a CoA changed rates or filter."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a CPE dials with."""

    username: str
    password: str
    circuit: str


class Nas:
    """RADIUS client and session table of one BNG."""

    def __init__(
        self, device: Device, spec: NasRadius, servers: list[tuple[tuple[str, int], tuple[str, int], bytes]]
    ) -> None:
        self.device = device
        self.spec = spec
        self.sessions: dict[str, Session] = {}
        self._by_user: dict[str, dict[str, Session]] = {}
        self._sequence = 0
        elapsed = device.clock.elapsed
        self._auth = RadiusClient([(a, s) for a, _, s in servers], spec.timeout_ms, spec.tries, elapsed)
        self._acct = RadiusClient([(b, s) for _, b, s in servers], spec.timeout_ms, spec.tries, elapsed)
        self._backlog: dict[int, Callable[[bytes], AcctPacket]] = {}
        self._tickets = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: Callable[[Session, str], None] = lambda session, cause: None
        self._interim: asyncio.TimerHandle | None = None

    def on_end(self, tell: Callable[[Session, str], None]) -> None:
        """`tell(session, cause)` is called for sessions that end by AAA or by time."""
        self._ended = tell

    def of_user(self, username: str) -> list[Session]:
        return list(self._by_user.get(username, {}).values())

    # ---- dialling

    async def dial(self, login: Login, flow: Flow) -> Session | str:
        """Ask AAA. A session on accept, on reject its Reply-Message; ServerGone when no server answers."""
        reply = await self._auth.ask(lambda secret: self._access_request(secret, login))
        if reply.code != AccessAccept:
            return text_of(reply, "Reply-Message") or "rejected"
        return self._open(login, flow, reply)

    def _access_request(self, secret: bytes, login: Login) -> AuthPacket:
        packet = new_auth(secret)
        challenge, ident = secrets.token_bytes(16), secrets.token_bytes(1)
        digest = hashlib.md5(ident + login.password.encode() + challenge, usedforsecurity=False).digest()
        packet["User-Name"] = login.username
        packet[3] = [ident + digest]
        packet[60] = [challenge]
        packet["Service-Type"] = 2
        packet["Framed-Protocol"] = 1
        packet["NAS-Port-Type"] = 15
        self._identify(packet, login.circuit)
        return packet

    def _identify(self, packet: Packet, circuit: str) -> None:
        packet["NAS-Identifier"] = self.device.name
        packet["NAS-IP-Address"] = self.spec.nas_ip
        if circuit:
            packet["NAS-Port-Id"] = circuit
            packet["ADSL-Agent-Circuit-Id"] = circuit

    def _open(self, login: Login, flow: Flow, reply: Packet) -> Session:
        self._sequence += 1
        now = self.device.clock.elapsed()
        return Session(
            ident=f"{self.device.boot_count:04x}-{self._sequence:08x}",
            username=text_of(reply, "User-Name") or login.username,
            circuit=login.circuit,
            flow=flow,
            started=now,
            ipv4=text_of(reply, "Framed-IP-Address"),
            ipv6_wan=text_of(reply, "Framed-IPv6-Prefix"),
            ipv6_pd=text_of(reply, "Delegated-IPv6-Prefix"),
            down_kbps=one(reply, "WISPr-Bandwidth-Max-Down", RATE_UNLIMITED * 1000) // 1000,
            up_kbps=one(reply, "WISPr-Bandwidth-Max-Up", RATE_UNLIMITED * 1000) // 1000,
            filter_id=text_of(reply, "Filter-Id"),
            timeout_s=one(reply, "Session-Timeout", 0),
            class_=one(reply, "Class", b""),
        )

    def enter(self, session: Session) -> None:
        """The session starts: in the table, accounted for, with its timers."""
        self.sessions[session.ident] = session
        self._by_user.setdefault(session.username, {})[session.ident] = session
        self.limit_time(session, session.timeout_s)
        self._account(session, "start")
        if self._interim is None and self.spec.interim_s:
            self._interim = asyncio.get_running_loop().call_later(self.spec.interim_s, self._tick)

    def limit_time(self, session: Session, timeout_s: int) -> None:
        """(Re)arm Session-Timeout, counted from the session's start; 0 is none."""
        if session.expiry is not None:
            session.expiry.cancel()
        session.timeout_s = timeout_s
        session.expiry = None
        if timeout_s:
            left = session.started + timeout_s - self.device.clock.elapsed()
            loop = asyncio.get_running_loop()
            session.expiry = loop.call_later(max(left, 0.0), lambda: self.end(session, "Session-Timeout"))

    def end(self, session: Session, cause: str) -> None:
        """Stop a session and tell the plant, which lets the CPE dial again."""
        if self.forget(session):
            self._account(session, "stop", cause)
            self._ended(session, cause)

    def drop(self, session: Session, cause: str) -> None:
        """Stop a session because its line is gone; the plant knows already."""
        if self.forget(session):
            self._account(session, "stop", cause)

    def forget(self, session: Session) -> bool:
        """Take a session out of the table without a word to AAA (a dead BNG says nothing)."""
        if self.sessions.pop(session.ident, None) is None:
            return False
        users = self._by_user[session.username]
        users.pop(session.ident)
        if not users:
            del self._by_user[session.username]
        if session.expiry is not None:
            session.expiry.cancel()
        session.flow.settle(self.device.clock.elapsed())
        return True

    # ---- accounting

    def powered(self) -> None:
        """The BNG booted: Accounting-On tells AAA that older sessions are gone."""
        self._sequence = 0
        self._send(self._acct_builder("on", f"boot-{self.device.boot_count}", {}, ""))

    def take_leave(self) -> None:
        """An orderly reboot: Stop for every session, then Accounting-Off; sent once, the power goes soon."""
        for session in list(self.sessions.values()):
            self.drop(session, "Admin-Reboot")
        self._send(self._acct_builder("off", f"boot-{self.device.boot_count}", {}, ""))

    def died(self) -> None:
        """Power went: sessions, timers and unsent accounting are lost."""
        for session in list(self.sessions.values()):
            self.forget(session)
        self._backlog.clear()
        for task in self._tasks:
            task.cancel()
        if self._interim is not None:
            self._interim.cancel()
            self._interim = None

    def interim_all(self, username: str | None = None) -> int:
        """Send interim accounting now, for one user or for all; how many were sent."""
        chosen = list(self.sessions.values()) if username is None else self.of_user(username)
        for session in chosen:
            self._account(session, "interim")
        return len(chosen)

    def _tick(self) -> None:
        self._interim = None
        if self.sessions:
            self.interim_all()
            self._interim = asyncio.get_running_loop().call_later(self.spec.interim_s, self._tick)

    def _account(self, session: Session, status: str, cause: str = "") -> None:
        session.flow.settle(self.device.clock.elapsed())
        up, down = int(session.flow.up_octets), int(session.flow.down_octets)
        values: dict[str | int, object] = {
            "User-Name": session.username,
            "Acct-Session-Time": int(self.device.clock.elapsed() - session.started),
            "Acct-Input-Octets": up & UINT32_MAX,
            "Acct-Input-Gigawords": up >> 32,
            "Acct-Output-Octets": down & UINT32_MAX,
            "Acct-Output-Gigawords": down >> 32,
        }
        for name, value in (
            ("Framed-IP-Address", session.ipv4),
            ("Framed-IPv6-Prefix", session.ipv6_wan),
            ("Delegated-IPv6-Prefix", session.ipv6_pd),
        ):
            if value:
                values[name] = value
        if session.class_:
            values[25] = [session.class_]  # Class, raw: it is to come back as it went (RFC 2865, 5.25)
        if cause:
            values["Acct-Terminate-Cause"] = CAUSE_CODE[cause]
        self._send(self._acct_builder(status, session.ident, values, session.circuit))

    def _acct_builder(
        self, status: str, ident: str, values: dict[str | int, object], circuit: str
    ) -> Callable[[bytes], AcctPacket]:
        stamp = int(self.device.clock.now().timestamp())

        def build(secret: bytes) -> AcctPacket:
            packet = new_acct(secret)
            packet["Acct-Status-Type"] = ACCT_CODE[status]
            packet["Acct-Session-Id"] = ident
            packet["Event-Timestamp"] = stamp
            self._identify(packet, circuit)
            for name, value in values.items():
                packet[name] = value
            return packet

        return build

    def _send(self, build: Callable[[bytes], AcctPacket]) -> None:
        if len(self._backlog) >= BACKLOG_MAX:
            del self._backlog[next(iter(self._backlog))]
        self._tickets += 1
        ticket = self._tickets
        self._backlog[ticket] = build
        task = asyncio.get_running_loop().create_task(self._deliver(ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, ticket: int) -> None:
        """Send until some server acknowledges; a record is only given up when the BNG dies."""
        pause_s = 0.5
        while (build := self._backlog.get(ticket)) is not None:
            with contextlib.suppress(ServerGone):
                await self._acct.ask(build)
                self._backlog.pop(ticket, None)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 10.0)

    def unacknowledged(self) -> int:
        """How many accounting records no server has yet."""
        return len(self._backlog)

    def close(self) -> None:
        self.died()
        self._auth.close()
        self._acct.close()

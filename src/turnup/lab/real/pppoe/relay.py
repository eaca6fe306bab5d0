"""RADIUS between pppd and the pair of AAA servers.

pppd 2.4.9 signs no Access-Request with a Message-Authenticator and knows neither prefixes nor rates, so it
asks the agent on loopback, and the agent asks the servers as a BNG of today does: the second when the first
is silent. Accounting is taken from pppd at once and repeated until a server has acknowledged it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pyrad.packet import (
    AccessAccept,
    AccessReject,
    AccountingResponse,
    AcctPacket,
    AuthPacket,
    Packet,
    PacketError,
)

from turnup.lab.radius import (
    ACCT_CODE,
    ACCT_STATUS,
    CAUSE_CODE,
    DICTIONARY,
    RadiusClient,
    ServerGone,
    new_acct,
    new_auth,
    one,
    text_of,
)
from turnup.lab.real.pppoe.sessions import Session

SERVICE_FRAMED, PROTOCOL_PPP = 2, 1
PPPOE_OVER_VLAN = 33
"""NAS-Port-Type (RFC 4603)."""
_PORT = "access.100"
_AGAIN_S = (0.5, 2.0, 5.0, 15.0)
_COPIED = (
    "Acct-Session-Time", "Acct-Input-Octets", "Acct-Input-Gigawords", "Acct-Output-Octets",
    "Acct-Output-Gigawords", "Acct-Terminate-Cause",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Nas:
    """How the BNG calls itself."""

    name: str
    address: str
    interim_s: int

    def identify(self, packet: Packet, line: str) -> None:
        packet["NAS-Identifier"] = self.name
        packet["NAS-IP-Address"] = self.address
        packet["NAS-Port-Type"] = PPPOE_OVER_VLAN
        packet["NAS-Port-Id"] = _PORT
        packet["Calling-Station-Id"] = line.partition(":")[2]


def access_request(nas: Nas, asked: AuthPacket, secret: bytes) -> AuthPacket:
    """What the AAA server is asked, from what pppd asked."""
    packet = new_auth(secret)
    for name in ("User-Name", "CHAP-Password", "CHAP-Challenge"):
        if name in asked:
            packet[name] = asked[name]
    packet["Service-Type"] = SERVICE_FRAMED
    packet["Framed-Protocol"] = PROTOCOL_PPP
    nas.identify(packet, text_of(asked, "Called-Station-Id"))
    return packet


def accounting_request(
    nas: Nas, session: Session, status: str, counters: Mapping[str, int], at_s: int, secret: bytes
) -> AcctPacket:
    packet = new_acct(secret)
    packet["Acct-Status-Type"] = ACCT_CODE[status]
    packet["Acct-Session-Id"] = session.ident
    packet["User-Name"] = session.username
    packet["Event-Timestamp"] = at_s
    nas.identify(packet, session.line)
    for name, value in (
        ("Framed-IP-Address", session.ipv4),
        ("Framed-IPv6-Prefix", session.wan6),
        ("Delegated-IPv6-Prefix", session.pd6),
    ):
        if value:
            packet[name] = value
    if session.service_class is not None:
        packet["Class"] = session.service_class
    for name, count in counters.items():
        packet[name] = count
    return packet


def counters_of(asked: Packet, ended_by: str | None) -> dict[str, int]:
    """What pppd counted: input is what came from the subscriber, her upload."""
    found: dict[str, int] = {name: one(asked, name, 0) for name in _COPIED if name in asked}
    if ended_by is not None and "Acct-Terminate-Cause" in found:
        found["Acct-Terminate-Cause"] = CAUSE_CODE[ended_by]
    return found


class AuthRelay(asyncio.DatagramProtocol):
    """Access-Requests of pppd. `authorize(request)` gives the session or None (rejected); it raises
    ServerGone when no server answered, and then pppd gets no answer either."""

    def __init__(
        self, secret: bytes, nas: Nas, authorize: Callable[[AuthPacket], Awaitable[Session | None]]
    ) -> None:
        self._secret = secret
        self._nas = nas
        self._authorize = authorize
        self._asked: set[tuple[object, bytes]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._tasks: set[asyncio.Task[None]] = set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        key = (addr, data[:20])
        if key in self._asked:
            return  # a repeat of what is being asked
        task = asyncio.get_running_loop().create_task(self._handle(data, addr, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, data: bytes, addr: tuple[str, int], key: tuple[object, bytes]) -> None:
        self._asked.add(key)
        try:
            asked = AuthPacket(secret=self._secret, dict=DICTIONARY, packet=data)
            session = await self._authorize(asked)
        except (PacketError, ServerGone):
            return
        finally:
            self._asked.discard(key)
        reply = asked.CreateReply()
        reply.code = AccessReject if session is None else AccessAccept
        if session is not None:
            reply["Service-Type"] = SERVICE_FRAMED
            reply["Framed-Protocol"] = PROTOCOL_PPP
            reply["Acct-Interim-Interval"] = self._nas.interim_s
            if session.ipv4:
                reply["Framed-IP-Address"] = session.ipv4
        self._transport.sendto(reply.ReplyPacket(), addr)


class AcctRelay(asyncio.DatagramProtocol):
    """Accounting-Requests of pppd, handed to `account(line, status, request)`."""

    def __init__(self, secret: bytes, account: Callable[[str, str, Packet], None]) -> None:
        self._secret = secret
        self._account = account

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            asked = AcctPacket(secret=self._secret, dict=DICTIONARY, packet=data)
            if not asked.VerifyAcctRequest():
                return
        except PacketError:
            return
        status = ACCT_STATUS.get(one(asked, "Acct-Status-Type", 0), "")
        self._account(text_of(asked, "Called-Station-Id"), status, asked)
        reply = asked.CreateReply()
        reply.code = AccountingResponse
        self._transport.sendto(reply.ReplyPacket(), addr)


class Accounting:
    """Tells the servers of sessions, each record until one of them has acknowledged it."""

    def __init__(self, client: RadiusClient) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[Any]] = set()

    def tell(self, build: Callable[[bytes], AcctPacket]) -> None:
        task = asyncio.get_running_loop().create_task(self._until_told(build))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_told(self, build: Callable[[bytes], AcctPacket]) -> None:
        tries = 0
        while True:
            try:
                await self._client.ask(build)
            except ServerGone:
                await asyncio.sleep(_AGAIN_S[min(tries, len(_AGAIN_S) - 1)])
                tries += 1
            else:
                return

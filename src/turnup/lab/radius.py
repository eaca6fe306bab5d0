"""RADIUS attributes the lab speaks, and a client for one server: encode, send, wait, verify.

Attribute sources: RFC 2865/2866/2869, RFC 3162 and 4818 (IPv6), RFC 5176 (CoA), WISPr 1.0 (rates, bit/s),
Broadband Forum TR-101 / RFC 4679 (Agent-Circuit-Id).
"""

import asyncio
import io
import secrets
from collections.abc import Callable
from typing import TypeVar, cast

from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket, Packet, PacketError

T = TypeVar("T")

DICTIONARY_TEXT = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE CHAP-Password 3 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Filter-Id 11 string
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Class 25 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Called-Station-Id 30 string
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Proxy-State 33 octets
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Acct-Input-Gigawords 52 integer
ATTRIBUTE Acct-Output-Gigawords 53 integer
ATTRIBUTE Event-Timestamp 55 integer
ATTRIBUTE CHAP-Challenge 60 octets
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE Acct-Interim-Interval 85 integer
ATTRIBUTE NAS-Port-Id 87 string
ATTRIBUTE Framed-IPv6-Prefix 97 ipv6prefix
ATTRIBUTE Error-Cause 101 integer
ATTRIBUTE Delegated-IPv6-Prefix 123 ipv6prefix
VENDOR ADSL-Forum 3561
BEGIN-VENDOR ADSL-Forum
ATTRIBUTE ADSL-Agent-Circuit-Id 1 string
END-VENDOR ADSL-Forum
VENDOR WISPr 14122
BEGIN-VENDOR WISPr
ATTRIBUTE WISPr-Bandwidth-Max-Up 7 integer
ATTRIBUTE WISPr-Bandwidth-Max-Down 8 integer
END-VENDOR WISPr
"""

DICTIONARY = Dictionary(io.StringIO(DICTIONARY_TEXT))

ACCT_STATUS = {1: "start", 2: "stop", 3: "interim", 7: "on", 8: "off"}
ACCT_CODE = {name: code for code, name in ACCT_STATUS.items()}
TERMINATE_CAUSE = {
    1: "User-Request",
    2: "Lost-Carrier",
    5: "Session-Timeout",
    6: "Admin-Reset",
    7: "Admin-Reboot",
    9: "NAS-Error",
}
CAUSE_CODE = {name: code for code, name in TERMINATE_CAUSE.items()}
WALLED = "walled"
"""Filter-Id of the walled garden."""

UINT32_MAX = 2**32 - 1


def one(packet: Packet, name: str, default: T) -> T:
    """The first value of an attribute, or `default` where absent."""
    values: list[T] | None = packet.get(name)
    return values[0] if values else default


def text_of(packet: Packet, name: str) -> str:
    """A text attribute, empty where absent; bytes that are not UTF-8 are replaced."""
    value = one(packet, name, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def kbps_to_bits(kbps: int) -> int:
    """WISPr rates are bit/s in 32 bits: what lies above 4.29 Gbit/s is sent as the largest value."""
    return min(kbps * 1000, UINT32_MAX)


def new_auth(secret: bytes) -> AuthPacket:
    """An Access-Request that carries a Message-Authenticator (CVE-2024-3596)."""
    packet = AuthPacket(secret=secret, authenticator=secrets.token_bytes(16), dict=DICTIONARY)
    packet.message_authenticator = True
    return packet


def new_acct(secret: bytes) -> AcctPacket:
    return AcctPacket(secret=secret, dict=DICTIONARY)


class ServerGone(Exception):
    """No answer from a server within the tries."""


class _Exchange(asyncio.DatagramProtocol):
    """One UDP port towards one server port: up to 256 requests in flight, matched by identifier."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Packet, asyncio.Future[Packet]]] = {}
        self._next = secrets.randbelow(256)
        self._free = asyncio.Semaphore(250)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        request, answer = self._waiting.get(data[1] if len(data) >= 20 else -1, (None, None))
        if request is None or answer is None or answer.done():
            return
        try:
            reply = request.CreateReply(packet=data)
            genuine = request.VerifyReply(reply, data, enforce_ma=True)
        except (PacketError, ValueError, KeyError):
            return
        if genuine:
            answer.set_result(reply)

    def error_received(self, exc: Exception) -> None:
        return  # ICMP port unreachable: the retransmission decides

    async def ask(self, packet: Packet, timeout_s: float, tries: int) -> Packet:
        async with self._free:
            while self._next in self._waiting:
                self._next = (self._next + 1) % 256
            packet.id = self._next
            self._next = (self._next + 1) % 256
            answer: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
            self._waiting[packet.id] = (packet, answer)
            try:
                raw = packet.RequestPacket()  # type: ignore[attr-defined]
                for _ in range(tries):
                    self.transport.sendto(raw)
                    done, _pending = await asyncio.wait((answer,), timeout=timeout_s)
                    if done:
                        return answer.result()
                raise ServerGone
            finally:
                del self._waiting[packet.id]


class RadiusClient:
    """Asks a list of servers in order; one that did not answer is tried last for the next 30 seconds."""

    PENALTY_S = 30.0

    def __init__(
        self,
        servers: list[tuple[tuple[str, int], bytes]],
        timeout_ms: int,
        tries: int,
        elapsed: Callable[[], float],
    ) -> None:
        self._servers = servers
        self._timeout_s = timeout_ms / 1000
        self._tries = tries
        self._elapsed = elapsed
        self._exchanges: dict[tuple[str, int], _Exchange] = {}
        self._failed_at: dict[tuple[str, int], float] = {}

    async def _exchange(self, address: tuple[str, int]) -> _Exchange:
        if address not in self._exchanges:
            loop = asyncio.get_running_loop()
            _transport, made = await loop.create_datagram_endpoint(_Exchange, remote_addr=address)
            self._exchanges.setdefault(address, made)
        return self._exchanges[address]

    def _standing(self, server: tuple[tuple[str, int], bytes]) -> float:
        failed = self._failed_at.get(server[0])
        return failed if failed is not None and self._elapsed() - failed < self.PENALTY_S else 0.0

    async def ask(self, build: Callable[[bytes], Packet]) -> Packet:
        """Send what `build(secret)` makes to the first server that answers; ServerGone when none does."""
        for address, secret in sorted(self._servers, key=self._standing):
            exchange = await self._exchange(address)
            try:
                reply = await exchange.ask(build(secret), self._timeout_s, self._tries)
            except ServerGone:
                self._failed_at[address] = self._elapsed()
                continue
            self._failed_at.pop(address, None)
            return reply
        raise ServerGone

    def close(self) -> None:
        for exchange in self._exchanges.values():
            exchange.transport.close()
        self._exchanges.clear()

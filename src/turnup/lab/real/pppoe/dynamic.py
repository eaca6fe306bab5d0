"""Dynamic authorization (RFC 5176) on the BNG, which pppd has none of: CoA-Request and Disconnect-Request.

What carries no Message-Authenticator, or is not signed with the shared secret, is dropped without a word; a
repeated datagram gets the answer of the first again (section 2.3).
"""

import asyncio
from collections import OrderedDict
from typing import Protocol, cast

from pyrad.packet import (
    CoAACK,
    CoANAK,
    CoAPacket,
    CoARequest,
    DisconnectACK,
    DisconnectNAK,
    DisconnectRequest,
    PacketError,
)

from turnup.lab.coa import (
    MISSING_ATTRIBUTE,
    NAS_IDENTIFICATION_MISMATCH,
    REMEMBERED,
    SESSION_NOT_FOUND,
    UNSUPPORTED_ATTRIBUTE,
)
from turnup.lab.radius import DICTIONARY, text_of
from turnup.lab.real.pppoe.sessions import Session, Sessions

RESOURCES_UNAVAILABLE = 506
_IDENTIFY = {
    "User-Name", "Acct-Session-Id", "NAS-Identifier", "Event-Timestamp", "Message-Authenticator",
    "Proxy-State",
}  # fmt: skip
_CHANGE = {"WISPr-Bandwidth-Max-Down", "WISPr-Bandwidth-Max-Up", "Filter-Id"}


class Enforcer(Protocol):
    """What carries an order out. Both raise OSError when the box cannot."""

    def changed(self, session: Session) -> None:
        """Rates and walls of a session are other ones now."""
        ...

    def end(self, session: Session, cause: str) -> None: ...


class DynamicAuthorization(asyncio.DatagramProtocol):
    """The UDP listener; `nas` is the BNG's NAS-Identifier."""

    def __init__(self, nas: str, secret: bytes, sessions: Sessions, box: Enforcer) -> None:
        self._nas = nas
        self._secret = secret
        self._sessions = sessions
        self._box = box
        self._answered: OrderedDict[tuple[object, bytes], bytes] = OrderedDict()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        key = (addr, data[:20])
        if key not in self._answered:
            packet = self._genuine(data)
            if packet is None:
                return
            self._answered[key] = self._answer(packet)
            while len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
        self._transport.sendto(self._answered[key], addr)

    def _genuine(self, data: bytes) -> CoAPacket | None:
        try:
            packet = CoAPacket(secret=self._secret, dict=DICTIONARY, packet=data)
            if packet.code not in (CoARequest, DisconnectRequest) or not packet.VerifyCoARequest():
                return None
            if not packet.message_authenticator or not packet.verify_message_authenticator():
                return None
        except (PacketError, ValueError, KeyError):
            return None
        return packet

    def _answer(self, packet: CoAPacket) -> bytes:
        disconnect = packet.code == DisconnectRequest
        cause, sessions = self._judge(packet, disconnect=disconnect)
        try:
            for session in sessions:
                if disconnect:
                    self._box.end(session, "Admin-Reset")
                else:
                    session.take(packet)
                    self._box.changed(session)
        except OSError:
            cause = RESOURCES_UNAVAILABLE
        reply = packet.CreateReply(message_authenticator=True)
        ack, nak = (DisconnectACK, DisconnectNAK) if disconnect else (CoAACK, CoANAK)
        reply.code = nak if cause else ack
        if cause:
            reply["Error-Cause"] = cause
        return bytes(reply.ReplyPacket())

    def _judge(self, packet: CoAPacket, *, disconnect: bool) -> tuple[int, list[Session]]:
        """(Error-Cause or 0, the sessions meant)."""
        names = set(packet.keys())
        if names - _IDENTIFY - (set() if disconnect else _CHANGE):
            return UNSUPPORTED_ATTRIBUTE, []
        if text_of(packet, "NAS-Identifier") not in ("", self._nas):
            return NAS_IDENTIFICATION_MISMATCH, []
        ident, username = text_of(packet, "Acct-Session-Id"), text_of(packet, "User-Name")
        if not (ident or username) or (not disconnect and not names & _CHANGE):
            return MISSING_ATTRIBUTE, []
        sessions = self._sessions.meant(ident, username)
        return (0, sessions) if sessions else (SESSION_NOT_FOUND, [])

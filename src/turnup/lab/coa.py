"""Dynamic authorization on the BNG (RFC 5176): CoA-Request and Disconnect-Request.

Requests that are not signed with the shared secret are dropped without a word; repeated ones get the answer
of the first again (RFC 5176, section 2.3).
"""

import asyncio
import socket
from collections import OrderedDict
from typing import cast

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

from turnup.lab.nas import Nas, Session
from turnup.lab.network_file import Coa
from turnup.lab.radius import DICTIONARY, one, text_of

UNSUPPORTED_ATTRIBUTE = 401
MISSING_ATTRIBUTE = 402
NAS_IDENTIFICATION_MISMATCH = 403
UNSUPPORTED_EXTENSION = 406
ADMINISTRATIVELY_PROHIBITED = 501
SESSION_NOT_FOUND = 503

_IDENTIFY = {
    "User-Name", "Acct-Session-Id", "NAS-Identifier", "NAS-IP-Address", "NAS-Port-Id", "Framed-IP-Address",
    "Event-Timestamp", "Message-Authenticator", "Proxy-State", "ADSL-Agent-Circuit-Id",
}  # fmt: skip
_CHANGE = {"WISPr-Bandwidth-Max-Down", "WISPr-Bandwidth-Max-Up", "Filter-Id", "Session-Timeout"}
REMEMBERED = 512


class CoaListener(asyncio.DatagramProtocol):
    """The UDP listener of one NAS."""

    def __init__(self, nas: Nas, spec: Coa) -> None:
        self._nas = nas
        self._spec = spec
        self._secret = spec.secret.encode()
        self._answered: OrderedDict[tuple[object, bytes], bytes] = OrderedDict()
        self.supported = spec.supported

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        device = self._nas.device
        if not device.reachable:
            return
        known = self._answered.get((addr, data[:20]))
        if known is not None:
            self._transport.sendto(known, addr)
            return
        packet = self._read(data)
        if packet is None:
            return
        delay = device.lies.take("late_ack", "coa")
        lost = device.lies.take("lost_ack", "coa")
        answer = self._answer(packet)
        self._answered[(addr, data[:20])] = answer
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)
        if lost:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(delay.delay_ms / 1000 if delay else 0, self._transport.sendto, answer, addr)

    def _read(self, data: bytes) -> CoAPacket | None:
        """The request, or None when it is not one of ours, not genuine or too old."""
        try:
            packet = CoAPacket(secret=self._secret, dict=DICTIONARY, packet=data)
            if packet.code not in (CoARequest, DisconnectRequest) or not packet.VerifyCoARequest():
                return None
            if packet.message_authenticator and not packet.verify_message_authenticator():
                return None
        except (PacketError, ValueError, KeyError):
            return None
        stamp = one(packet, "Event-Timestamp", 0)
        window = self._spec.event_timestamp_window_s
        age = abs(self._nas.device.clock.now().timestamp() - stamp)
        return None if stamp and window and age > window else packet

    def _answer(self, packet: CoAPacket) -> bytes:
        disconnect = packet.code == DisconnectRequest
        cause, sessions = self._judge(packet, disconnect=disconnect)
        if cause == 0:
            for session in sessions:
                if disconnect:
                    self._nas.end(session, "Admin-Reset")
                else:
                    self._change(session, packet)
        reply = packet.CreateReply(message_authenticator=True)
        ack, nak = (DisconnectACK, DisconnectNAK) if disconnect else (CoAACK, CoANAK)
        reply.code = nak if cause else ack
        if cause:
            reply["Error-Cause"] = cause
        self._nas.device.log("COA", f"{'disconnect' if disconnect else 'change'} cause {cause}")
        return bytes(reply.ReplyPacket())

    def _judge(self, packet: CoAPacket, *, disconnect: bool) -> tuple[int, list[Session]]:
        """(Error-Cause or 0, the sessions meant)."""
        if self._nas.device.lies.take("refuse", "coa"):
            return ADMINISTRATIVELY_PROHIBITED, []
        if not disconnect and not self.supported:
            return UNSUPPORTED_EXTENSION, []
        names = set(packet.keys())
        if names - _IDENTIFY - (set() if disconnect else _CHANGE):
            return UNSUPPORTED_ATTRIBUTE, []
        if text_of(packet, "NAS-Identifier") not in ("", self._nas.device.name):
            return NAS_IDENTIFICATION_MISMATCH, []
        if not names & {"User-Name", "Acct-Session-Id"} or (not disconnect and not names & _CHANGE):
            return MISSING_ATTRIBUTE, []
        sessions = self._meant(text_of(packet, "Acct-Session-Id"), text_of(packet, "User-Name"))
        return (0, sessions) if sessions else (SESSION_NOT_FOUND, [])

    def _meant(self, ident: str, username: str) -> list[Session]:
        if not ident:
            return self._nas.of_user(username)
        session = self._nas.sessions.get(ident)
        return [session] if session and username in ("", session.username) else []

    def _change(self, session: Session, packet: CoAPacket) -> None:
        session.down_kbps = one(packet, "WISPr-Bandwidth-Max-Down", session.down_kbps * 1000) // 1000
        session.up_kbps = one(packet, "WISPr-Bandwidth-Max-Up", session.up_kbps * 1000) // 1000
        if "Filter-Id" in packet:
            session.filter_id = text_of(packet, "Filter-Id")
        if "Session-Timeout" in packet:
            self._nas.limit_time(session, one(packet, "Session-Timeout", 0))
        session.changed()


async def serve_coa(nas: Nas, sock: socket.socket) -> CoaListener:
    """Listen on an already bound socket; a dead BNG reads and stays silent."""
    loop = asyncio.get_running_loop()
    _transport, listener = await loop.create_datagram_endpoint(
        lambda: CoaListener(nas, nas.spec.coa), sock=sock
    )
    return listener

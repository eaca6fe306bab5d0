"""A client of dynamic authorization (RFC 5176): CoA-Request and Disconnect-Request to one NAS.

Each request has a UDP socket of its own, so calls from many threads never mix; a request is repeated
unchanged until its answer comes, and only an answer signed with the shared secret counts. Event-Timestamp is
left out: Turnup's clock may be a simulated one, and repeats are recognised by identifier and authenticator.
"""

import contextlib
import io
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyrad.dictionary import Dictionary
from pyrad.packet import CoAACK, CoAPacket, CoARequest, DisconnectACK, DisconnectRequest, Packet, PacketError

from turnup.contracts.provisioning import LiveSession
from turnup.kernel.errors import Unavailable
from turnup.runtime.database import refuse_in_transaction

_DICTIONARY = Dictionary(
    io.StringIO("""
ATTRIBUTE User-Name 1 string
ATTRIBUTE Filter-Id 11 string
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Proxy-State 33 octets
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE Error-Cause 101 integer
VENDOR WISPr 14122
BEGIN-VENDOR WISPr
ATTRIBUTE WISPr-Bandwidth-Max-Up 7 integer
ATTRIBUTE WISPr-Bandwidth-Max-Down 8 integer
END-VENDOR WISPr
""")
)
_UINT32_MAX = 2**32 - 1
_FIRST_REPEAT_S = 0.4
_SESSION_NOT_FOUND = 503
"""Error-Cause "Session Context Not Found" (RFC 5176, section 3.5)."""
WALLED_FILTER = "walled"
FULL_FILTER = "full"
"""Filter-Id of a session outside the walled garden: any value but `walled` lifts the wall."""


@dataclass(frozen=True, slots=True)
class CoaPeer:
    """A NAS that listens for dynamic authorization."""

    name: str
    host: str
    port: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of a NAS: code, and Error-Cause where it gives one."""

    code: int
    error_cause: int | None


def change_authorization(peer: CoaPeer, username: str, wanted: LiveSession, *, deadline_s: float) -> bool:
    """New rates and filter for a live session; True: acknowledged, False: refused (no such session, not
    supported, ...). Raises Unavailable when no genuine answer comes in time."""
    attributes: dict[str, str | int] = {
        "User-Name": username,
        "WISPr-Bandwidth-Max-Down": _bits(wanted.down_kbps),
        "WISPr-Bandwidth-Max-Up": _bits(wanted.up_kbps),
        "Filter-Id": WALLED_FILTER if wanted.walled else FULL_FILTER,
    }
    return _ask(peer, CoARequest, attributes, deadline_s).code == CoAACK


def disconnect(peer: CoaPeer, username: str, *, deadline_s: float) -> bool:
    """End a live session; True: acknowledged, False: there is none. Raises Unavailable, also where the NAS
    refuses: then the session may go on."""
    answer = _ask(peer, DisconnectRequest, {"User-Name": username}, deadline_s)
    if answer.code != DisconnectACK and answer.error_cause != _SESSION_NOT_FOUND:
        raise Unavailable(f"{peer.name} refused a Disconnect-Request (Error-Cause {answer.error_cause})")
    return answer.code == DisconnectACK


def _bits(kbps: int) -> int:
    """WISPr rates are bit/s in 32 bits; what does not fit is sent as the largest value."""
    return min(kbps * 1000, _UINT32_MAX)


def _ask(peer: CoaPeer, code: int, attributes: Mapping[str, str | int], deadline_s: float) -> _Answer:
    """Send, repeat, and return the first genuine answer."""
    refuse_in_transaction(f"radius {peer.name}")
    packet = CoAPacket(code=code, id=secrets.randbelow(256), secret=peer.secret, dict=_DICTIONARY)
    for name, value in attributes.items():
        packet[name] = value
    packet.message_authenticator = True
    raw = packet.RequestPacket()
    until = time.monotonic() + deadline_s
    wait_s = _FIRST_REPEAT_S
    try:
        with socket.socket(*_family(peer)) as channel:
            channel.connect((peer.host, peer.port))
            while (left_s := until - time.monotonic()) > 0:
                answer = _try_once(channel, packet, raw, min(wait_s, left_s))
                if answer is not None:
                    return answer
                wait_s *= 2
    except OSError as error:
        raise Unavailable(f"{peer.name} cannot be reached by RADIUS: {error}") from error
    raise Unavailable(f"{peer.name} did not answer a RADIUS request within {deadline_s:g} s")


def _family(peer: CoaPeer) -> tuple[int, int]:
    found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_DGRAM)
    return found[0][0], socket.SOCK_DGRAM


def _try_once(channel: socket.socket, packet: Packet, raw: bytes, wait_s: float) -> _Answer | None:
    """One transmission, and a genuine answer within `wait_s`; None: silence."""
    until = time.monotonic() + wait_s
    with contextlib.suppress(ConnectionRefusedError):  # of an earlier try: the NAS may be starting
        channel.send(raw)
    while (left_s := until - time.monotonic()) > 0:
        channel.settimeout(left_s)
        try:
            data = channel.recv(4096)
        except TimeoutError:
            return None
        except ConnectionRefusedError:
            time.sleep(min(0.05, left_s))
            continue
        answer = _genuine(packet, data)
        if answer is not None:
            return answer
    return None


def _genuine(packet: Packet, data: bytes) -> _Answer | None:
    """The answer if its authenticator (and Message-Authenticator, where there is one) holds."""
    try:
        reply = packet.CreateReply(packet=data)
        if not packet.VerifyReply(reply, data):
            return None
    except (PacketError, ValueError, KeyError):
        return None
    try:
        causes = reply.get("Error-Cause") or [None]
    except ValueError:  # not four octets: an answer all the same, without a cause
        causes = [None]
    return _Answer(int(reply.code), causes[0])

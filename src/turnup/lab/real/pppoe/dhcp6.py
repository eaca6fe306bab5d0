"""Prefix delegation (RFC 8415) on a subscriber's link: she gets what RADIUS gave her session.

Addresses are not given here: her router makes its own from the WAN prefix (RFC 4862). Pure; `box` has
the socket.
"""

import ipaddress
import struct

from turnup.lab.real.relay6 import option, options

_SOLICIT, _ADVERTISE, _REQUEST, _CONFIRM, _RENEW, _REBIND, _REPLY, _RELEASE, _DECLINE = range(1, 10)
_INFORMATION_REQUEST = 11
_CLIENT_ID, _SERVER_ID, _IA_NA, _STATUS, _DNS, _IA_PD, _IA_PREFIX = 1, 2, 3, 13, 23, 25, 26
_SUCCESS, _NO_ADDRESSES, _NO_PREFIX = 0, 2, 6
_PREFERRED_S, _VALID_S = 3600, 7200
_FOR_THIS_SERVER = (_REQUEST, _RENEW, _RELEASE, _DECLINE)


def server_duid(mac: str) -> bytes:
    """DUID-LL (RFC 8415, section 11.4)."""
    return struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", ""))


def answer(message: bytes, prefix: str, resolver: str, duid: bytes) -> bytes | None:
    """The server's answer to a client's message; None where it deserves none. ValueError: cut short."""
    if len(message) < 4:
        raise ValueError("no DHCPv6 message")
    kind, asked = message[0], options(message[4:])
    if _CLIENT_ID not in asked and kind != _INFORMATION_REQUEST:
        return None
    if kind in _FOR_THIS_SERVER and asked.get(_SERVER_ID) != duid:
        return None
    if kind in (_SOLICIT, _REQUEST, _RENEW, _REBIND):
        body = _associations(asked, prefix)
    elif kind in (_CONFIRM, _RELEASE, _DECLINE):
        body = option(_STATUS, struct.pack("!H", _SUCCESS))
    elif kind == _INFORMATION_REQUEST:
        body = b""
    else:
        return None
    head = bytes([_ADVERTISE if kind == _SOLICIT else _REPLY]) + message[1:4] + option(_SERVER_ID, duid)
    if _CLIENT_ID in asked:
        head += option(_CLIENT_ID, asked[_CLIENT_ID])
    return head + body + option(_DNS, ipaddress.IPv6Address(resolver).packed)


def _associations(asked: dict[int, bytes], prefix: str) -> bytes:
    body = b""
    if _IA_PD in asked:
        given = _delegated(prefix) if prefix else option(_STATUS, struct.pack("!H", _NO_PREFIX))
        body += option(_IA_PD, asked[_IA_PD][:4] + struct.pack("!II", 0, 0) + given)
    if _IA_NA in asked:
        none = option(_STATUS, struct.pack("!H", _NO_ADDRESSES))
        body += option(_IA_NA, asked[_IA_NA][:4] + struct.pack("!II", 0, 0) + none)
    return body


def _delegated(prefix: str) -> bytes:
    network = ipaddress.IPv6Network(prefix)
    times = struct.pack("!IIB", _PREFERRED_S, _VALID_S, network.prefixlen)
    return option(_IA_PREFIX, times + network.network_address.packed)

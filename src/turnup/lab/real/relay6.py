"""A DHCPv6 relay agent (RFC 8415) as access gateways have one: it says at which port the subscriber is.

Debian's dhcrelay sends no remote-id; this one adds interface-id (option 18) and remote-id (option 37,
RFC 4649), both holding the port's name. Runs on the gateway: ``python -m turnup.lab.real.relay6``.
"""

import argparse
import ipaddress
import selectors
import socket
import struct
import sys
from collections.abc import Sequence

CLIENT_PORT, SERVER_PORT = 546, 547
_ALL_RELAYS = "ff02::1:2"
_RELAY_FORWARD, _RELAY_REPLY = 12, 13
_RELAY_MESSAGE, _INTERFACE_ID, _REMOTE_ID = 9, 18, 37
_HEADER = 34  # type, hop count, link-address, peer-address
_ENTERPRISE = 0
"""The number before the remote-id's value names who formed it: IANA's reserved one, for nobody."""


def option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def options(data: bytes) -> dict[int, bytes]:
    """Options by code, the first of each; raises ValueError where they are cut short."""
    found: dict[int, bytes] = {}
    while data:
        if len(data) < 4:
            raise ValueError("an option's head is cut short")
        code, length = struct.unpack_from("!HH", data)
        if len(data) < 4 + length:
            raise ValueError(f"option {code} is cut short")
        found.setdefault(code, data[4 : 4 + length])
        data = data[4 + length :]
    return found


def relay_forward(message: bytes, peer: str, link_address: str, port: str) -> bytes:
    """The client's message, wrapped for the server."""
    name = port.encode()
    return (
        bytes([_RELAY_FORWARD, 0])
        + ipaddress.IPv6Address(link_address).packed
        + ipaddress.IPv6Address(peer.partition("%")[0]).packed
        + option(_INTERFACE_ID, name)
        + option(_REMOTE_ID, struct.pack("!I", _ENTERPRISE) + name)
        + option(_RELAY_MESSAGE, message)
    )


def relay_reply(data: bytes) -> tuple[str, str, bytes]:
    """(port, peer, the message for the client) of the server's answer; ValueError for anything else."""
    if len(data) < _HEADER or data[0] != _RELAY_REPLY:
        raise ValueError("no relay-reply")
    inner = options(data[_HEADER:])
    peer = str(ipaddress.IPv6Address(data[18:34]))
    return inner[_INTERFACE_ID].decode(), peer, inner[_RELAY_MESSAGE]


def client_socket(port: str) -> socket.socket:
    """Where clients behind this interface are heard: relays and servers have the same port and group."""
    listening = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, port.encode())
    listening.bind(("::", SERVER_PORT))
    group = socket.inet_pton(socket.AF_INET6, _ALL_RELAYS) + struct.pack("@I", socket.if_nametoindex(port))
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return listening


def serve(server: str, device: str, link_address: str, ports: Sequence[str]) -> None:
    """Relay until killed."""
    clients = {port: client_socket(port) for port in ports}
    upstream = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    upstream.bind(("::", SERVER_PORT))
    selector = selectors.DefaultSelector()
    selector.register(upstream, selectors.EVENT_READ, None)
    for port, listening in clients.items():
        selector.register(listening, selectors.EVENT_READ, port)
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            data, address = key.fileobj.recvfrom(65536)
            try:
                if key.data is None:
                    port, peer, message = relay_reply(data)
                    clients[port].sendto(message, (peer, CLIENT_PORT, 0, socket.if_nametoindex(port)))
                elif data and data[0] not in (_RELAY_FORWARD, _RELAY_REPLY):
                    wrapped = relay_forward(data, address[0], link_address, key.data)
                    upstream.sendto(wrapped, (server, SERVER_PORT))
            except (ValueError, KeyError, OSError) as error:
                sys.stderr.write(f"dropped: {error}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--device", default="mgmt")
    parser.add_argument("--link-address", required=True)
    parser.add_argument("ports", nargs="+")
    given = parser.parse_args()
    serve(given.server, given.device, given.link_address, given.ports)


if __name__ == "__main__":
    main()

"""The internet, the payment page and the DNS of the real lab: a small server in the namespace of the core.

``python -m turnup.lab.real.core_server``. HTTP says which of its addresses was spoken to; a walled subscriber
who is redirected to the payment page is told so (511, RFC 6585); the captive-portal API answers by RFC 8908.
"""

import argparse
import http.server
import ipaddress
import json
import socket
import struct
import threading
from typing import Any
from urllib.parse import urlsplit

from turnup.lab.real import plan

_A, _AAAA = 1, 28
_TTL_S = 5


class _Page(http.server.BaseHTTPRequestHandler):
    garden: frozenset[str]

    def do_GET(self) -> None:
        local = self.connection.getsockname()[0].removeprefix("::ffff:")
        asked = urlsplit(f"//{self.headers.get('Host') or ''}").hostname or ""
        if local not in self.garden:
            self._answer(200, "text/plain", b"the internet\n")
        elif asked == plan.PAYMENT_HOST and self.path == "/captive-portal":
            body = {"captive": True, "user-portal-url": f"http://{plan.PAYMENT_HOST}/"}
            self._answer(200, "application/captive+json", json.dumps(body).encode())
        elif asked == plan.PAYMENT_HOST or asked in self.garden:
            self._answer(200, "text/plain", b"payment page\n")
        else:
            self._answer(511, "text/plain", f"please pay at http://{plan.PAYMENT_HOST}/\n".encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the lab keeps no access log."""


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def dns_answer(query: bytes) -> bytes:
    """The answer to one question (RFC 1035): the payment host is in the garden, all else is the internet."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    kind = struct.unpack_from("!H", query, at + 1)[0]
    question = query[12 : at + 5]
    garden = ".".join(labels) == plan.PAYMENT_HOST
    address = {
        _A: plan.GARDEN4 if garden else plan.INTERNET4,
        _AAAA: plan.GARDEN6 if garden else plan.INTERNET6,
    }.get(kind)
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if address else 0, 0, 0)
    if address is None:
        return head + question
    data = ipaddress.ip_address(address).packed
    return head + question + struct.pack("!HHHIH", 0xC00C, kind, 1, _TTL_S, len(data)) + data


def _serve_dns(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as listening:
        listening.bind((address, 53))
        while True:
            query, peer = listening.recvfrom(4096)
            try:
                listening.sendto(dns_answer(query), peer)
            except (IndexError, struct.error, OSError):
                continue  # not a question; the next one may be


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--garden", nargs="+", required=True)
    given = parser.parse_args()
    for address in given.garden:
        threading.Thread(target=_serve_dns, args=(address,), daemon=True).start()
    _Page.garden = frozenset(given.garden)
    _Server(("::", 80), _Page).serve_forever()


if __name__ == "__main__":
    main()

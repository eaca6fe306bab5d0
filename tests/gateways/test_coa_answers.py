"""Answers of a NAS that no dictionary foresees, byte by byte."""

import hashlib
import socket
import struct
import threading

import pytest

from turnup.gateways.radius.coa import CoaPeer, disconnect
from turnup.kernel.errors import Unavailable

_SECRET = b"between us"
_NAK = 42


def _answered(attributes: bytes) -> CoaPeer:
    """A NAS that refuses one Disconnect-Request with these attributes, signed as it has to be."""
    nas = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    nas.bind(("127.0.0.1", 0))
    nas.settimeout(10)

    def serve() -> None:
        with nas:
            request, whom = nas.recvfrom(4096)
            head = struct.pack("!BBH", _NAK, request[1], 20 + len(attributes))
            proof = hashlib.md5(head + request[4:20] + attributes + _SECRET, usedforsecurity=False).digest()
            nas.sendto(head + proof + attributes, whom)

    threading.Thread(target=serve, daemon=True).start()
    return CoaPeer("bng1", "127.0.0.1", nas.getsockname()[1], _SECRET)


def test_no_such_session_is_no_trouble() -> None:
    assert not disconnect(_answered(struct.pack("!BBI", 101, 6, 503)), "anna", deadline_s=5.0)


@pytest.mark.parametrize("cause", [b"\x01\xf7", b"\x00\x00\x01\xf7\x00"], ids=["too short", "too long"])
def test_a_cause_that_is_no_number_is_an_answer_without_a_cause(cause: bytes) -> None:
    attribute = bytes([101, 2 + len(cause)]) + cause
    with pytest.raises(Unavailable, match="refused"):
        disconnect(_answered(attribute), "anna", deadline_s=5.0)

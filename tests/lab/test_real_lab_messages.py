"""The real lab's own protocol parts, without a network: the DHCPv6 relay and the small DNS server."""

import struct

import pytest

from turnup.lab.real.core_server import dns_answer
from turnup.lab.real.plan import GARDEN4, INTERNET6, PAYMENT_HOST, Plan
from turnup.lab.real.relay6 import option, options, relay_forward, relay_reply


def test_the_relay_says_which_port_it_was():
    solicit = b"\x01abc" + option(1, b"duid")
    sent = relay_forward(solicit, "fe80::ff:fe00:1%p1", "2001:db8:1::1", "p1")
    assert sent[:2] == b"\x0c\x00", "relay-forward, no hop so far"
    inside = options(sent[34:])
    assert inside[18] == b"p1"
    assert inside[37] == b"\x00\x00\x00\x00p1"
    assert inside[9] == solicit


def test_the_answer_finds_its_way_back():
    advertise = b"\x02abc" + option(2, b"server")
    peer = bytes.fromhex("fe80000000000000000000fffe000001")
    answer = b"\x0d\x00" + bytes(16) + peer + option(18, b"p7") + option(9, advertise)
    assert relay_reply(answer) == ("p7", "fe80::ff:fe00:1", advertise)


@pytest.mark.parametrize(
    "broken", [b"", b"\x0d", b"\x01" + bytes(40), b"\x0d\x00" + bytes(32) + b"\x00\x12\x00\x09p"]
)
def test_what_is_no_answer_is_dropped(broken):
    with pytest.raises((ValueError, KeyError)):
        relay_reply(broken)


def _question(name, kind):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return (
        b"\x12\x34" + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    )


def test_the_payment_host_is_in_the_garden_and_all_else_outside():
    assert dns_answer(_question(PAYMENT_HOST, 1)).endswith(bytes(map(int, GARDEN4.split("."))))
    assert dns_answer(_question("example.org", 28))[-2:] == bytes.fromhex(f"00{INTERNET6.rpartition(':')[2]}")
    assert dns_answer(_question("example.org", 16))[6:8] == b"\0\0", "no answer for a kind it does not know"


@pytest.mark.parametrize("count", [0, 201])
def test_a_lab_has_a_size(count):
    with pytest.raises(ValueError):
        Plan(count)

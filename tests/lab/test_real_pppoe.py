"""The PPPoE lab's pure parts: sessions, what is enforced of them, prefix delegation, RADIUS of the BNG."""

import struct
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import (
    AccessAccept,
    AuthPacket,
    CoAACK,
    CoANAK,
    CoAPacket,
    CoARequest,
    DisconnectACK,
    DisconnectNAK,
    DisconnectRequest,
    Packet,
)

from turnup.lab.radius import DICTIONARY, new_acct
from turnup.lab.real.pppoe import dhcp6, enforcement, guest_exec
from turnup.lab.real.pppoe.dynamic import DynamicAuthorization
from turnup.lab.real.pppoe.relay import Nas, access_request, accounting_request, counters_of
from turnup.lab.real.pppoe.sessions import Session, Sessions
from turnup.lab.real.relay6 import option, options

LINE = "7:02:00:00:02:00:01"
GARDEN = ("203.0.113.20", "2001:db8:f::20")
SECRET = b"a secret"
NAS = Nas("bng1", "198.18.0.6", 60)
DUID = dhcp6.server_duid("02:00:00:01:00:01")
PD = "2001:db8:200:100::/56"


def accept(**attributes):
    packet = Packet(code=AccessAccept, secret=SECRET, dict=DICTIONARY)
    for name, value in attributes.items():
        packet[name.replace("_", "-")] = value
    return packet


def hers(sessions, line=LINE, **more):
    given_ = {
        "Framed_IP_Address": "100.64.16.2",
        "Framed_IPv6_Prefix": "2001:db8:2:1::/64",
        "Delegated_IPv6_Prefix": PD,
        "WISPr_Bandwidth_Max_Down": 20_000_000,
        "WISPr_Bandwidth_Max_Up": 5_000_000,
    }
    return sessions.authorized(line, "ada@isp", accept(**given_ | more))


# --- sessions -----------------------------------------------------------------------------------------------


def test_a_session_is_what_radius_said():
    session = hers(Sessions(0x6B0C03EC), Filter_Id="walled", Class=b"generation:3")
    assert (session.ipv4, session.wan6, session.pd6) == ("100.64.16.2", "2001:db8:2:1::/64", PD)
    assert (session.down_bps, session.up_bps, session.walled) == (20_000_000, 5_000_000, True)
    assert (session.ident, session.mac) == ("6b0c03ec-000001", "02:00:00:02:00:01")


def test_ids_are_never_given_twice_though_pppds_are():
    sessions = Sessions(1)
    assert len({hers(sessions, line=f"{n}:02:00:00:02:00:01").ident for n in range(50)}) == 50
    assert hers(Sessions(2)).ident != hers(Sessions(3)).ident


@pytest.mark.parametrize(
    ("ident", "username", "found"),
    [("", "ada@isp", 2), ("00000001-000001", "", 1), ("00000001-000001", "eve@isp", 0), ("x", "ada@isp", 0)],
)
def test_requests_name_sessions_by_id_user_or_both(ident, username, found):
    sessions = Sessions(1)
    hers(sessions)
    hers(sessions, line="8:02:00:00:02:00:02")
    assert len(sessions.meant(ident, username)) == found


# --- enforcement --------------------------------------------------------------------------------------------


def on_ppp3(**more):
    session = hers(Sessions(1), **more)
    session.interface = "ppp3"
    return session


def test_full_service_is_from_her_own_addresses_to_everywhere():
    lines = enforcement.admission(on_ppp3(), GARDEN)
    assert lines["-4"] == ["rule add pref 10060 iif ppp3 from 100.64.16.2/32 lookup main"]
    assert lines["-6"] == [
        "rule add pref 10060 iif ppp3 from 2001:db8:2:1::/64 lookup main",
        f"rule add pref 10061 iif ppp3 from {PD} lookup main",
    ]


def test_walled_both_ways_and_both_families_are_for_the_garden_only():
    lines = enforcement.admission(on_ppp3(Filter_Id="walled"), GARDEN)
    assert lines["-4"] == [
        "rule add pref 10060 iif ppp3 from 100.64.16.2/32 to 203.0.113.20 lookup main",
        "rule add pref 1060 from 203.0.113.20 to 100.64.16.2/32 lookup main",
        "rule add pref 1061 to 100.64.16.2/32 prohibit",
    ]
    assert [line for line in lines["-6"] if "prohibit" in line] == [
        "rule add pref 1062 to 2001:db8:2:1::/64 prohibit",
        f"rule add pref 1063 to {PD} prohibit",
    ]
    assert all("2001:db8:f::20" in line for line in lines["-6"] if "lookup" in line)


@given(unit=st.integers(0, 249), walled=st.booleans())
def test_what_is_opened_for_a_session_is_what_shutting_it_takes_away(unit, walled):
    session = on_ppp3(Filter_Id="walled" if walled else "full")
    session.interface = f"ppp{unit}"
    opened = [line for lines in enforcement.admission(session, GARDEN).values() for line in lines]
    shut = {line.removeprefix("rule del ") for line in enforcement.shut(unit)}
    assert {" ".join(line.split()[2:4]) for line in opened} <= shut
    assert shut.isdisjoint(line.removeprefix("rule del ") for line in enforcement.shut(unit + 1))
    preferences = [int(line.split()[3]) for line in opened]
    # behind the rules of the BNG itself, before the one that carries everybody's downloads
    assert all(200 < preference < 20_000 for preference in preferences)


def test_both_rates_are_shaped_and_replaced_in_place():
    session = on_ppp3()
    links, lines = enforcement.shaping(session)
    assert links[0] == "link add up-ppp3 type ifb"
    assert [line.split("htb")[1].split()[:2] for line in enforcement.rates(session)] == [
        ["rate", "20000000bit"], ["rate", "5000000bit"],
    ]  # fmt: skip
    assert all(line.startswith("class replace") for line in enforcement.rates(session))
    assert sum(line.startswith("class add") for line in lines) == 2


# --- prefix delegation --------------------------------------------------------------------------------------


def message(kind, *parts):
    return bytes([kind, 1, 2, 3]) + b"".join(parts)


ASKS = option(1, b"client"), option(25, struct.pack("!III", 9, 0, 0))


def test_she_is_delegated_what_radius_gave_and_told_the_resolver():
    advertised = dhcp6.answer(message(1, *ASKS), PD, GARDEN[1], DUID)
    assert advertised is not None and advertised[:4] == bytes([2, 1, 2, 3])
    assert options(advertised[4:])[2] == DUID
    replied = dhcp6.answer(message(3, *ASKS, option(2, DUID)), PD, GARDEN[1], DUID)
    assert replied is not None and replied[0] == 7
    found = options(replied[4:])
    assert found[25][:4] == struct.pack("!I", 9)
    prefix = options(found[25][12:])[26]
    assert (prefix[8], IPv6Address(prefix[9:25])) == (56, IPv6Address("2001:db8:200:100::"))
    assert IPv6Address(found[23]) == IPv6Address(GARDEN[1])


def test_without_a_prefix_and_for_addresses_there_is_a_reason():
    asked = (*ASKS, option(3, struct.pack("!III", 4, 0, 0)))
    answered = dhcp6.answer(message(1, *asked), "", GARDEN[1], DUID)
    assert answered is not None
    found = options(answered[4:])
    assert options(found[25][12:])[13] == struct.pack("!H", 6)
    assert options(found[3][12:])[13] == struct.pack("!H", 2)


@pytest.mark.parametrize(
    "asked",
    [message(3, *ASKS, option(2, b"another server")), message(1, ASKS[1]), message(7, *ASKS), message(12)],
)
def test_what_is_for_others_or_nobody_is_not_answered(asked):
    assert dhcp6.answer(asked, PD, GARDEN[1], DUID) is None


@given(st.binary(max_size=60))
def test_no_datagram_upsets_the_server(data):
    try:
        dhcp6.answer(data, PD, GARDEN[1], DUID)
    except ValueError:
        return


# --- RADIUS -------------------------------------------------------------------------------------------------


def test_the_aaa_server_is_asked_with_everything_pppd_leaves_out():
    asked = AuthPacket(secret=b"local", dict=DICTIONARY)
    asked["User-Name"], asked["Called-Station-Id"] = "ada@isp", LINE
    asked["CHAP-Password"], asked["CHAP-Challenge"] = b"\x01" + bytes(16), bytes(16)
    sent = AuthPacket(
        secret=SECRET, dict=DICTIONARY, packet=access_request(NAS, asked, SECRET).RequestPacket()
    )
    assert sent.verify_message_authenticator()
    assert sent["CHAP-Password"] == asked["CHAP-Password"]
    assert sent["NAS-Identifier"] == ["bng1"]
    assert sent["Calling-Station-Id"] == ["02:00:00:02:00:01"]
    assert sent["NAS-Port-Id"] == ["access.100"], "the same at every dialling: rejects are remembered by line"


def test_accounting_has_our_id_and_pppds_octets():
    session = hers(Sessions(1))
    asked = new_acct(SECRET)
    asked["Acct-Input-Octets"], asked["Acct-Output-Octets"], asked["Acct-Output-Gigawords"] = 5, 7, 2
    asked["Acct-Terminate-Cause"], asked["Acct-Session-Id"] = 1, "pppd's"
    told = accounting_request(NAS, session, "stop", counters_of(asked, "Admin-Reset"), 99, SECRET)
    assert (told["Acct-Input-Octets"], told["Acct-Output-Octets"]) == ([5], [7])
    assert told["Acct-Output-Gigawords"] == [2]
    assert (told["Acct-Session-Id"], told["Acct-Terminate-Cause"]) == ([session.ident], [6])
    assert told["Event-Timestamp"] == [99]


class Box:
    """Carries orders out by noting them; `broken` cannot."""

    def __init__(self, *, broken=False):
        self.did = []
        self._broken = broken

    def changed(self, session):
        if self._broken:
            raise OSError("tc")
        self.did.append((session.username, session.down_bps, session.walled))

    def end(self, session, cause):
        self.did.append((session.username, cause))


class Wire:
    """Keeps what is sent."""

    def __init__(self):
        self.sent = []

    def sendto(self, data, addr):
        self.sent.append(data)


@pytest.fixture
def listener():
    sessions = Sessions(1)
    hers(sessions)
    made = DynamicAuthorization("bng1", SECRET, sessions, Box())
    made.connection_made(Wire())
    return made


def order(code, *, signed=True, secret=SECRET, **attributes):
    packet = CoAPacket(code=code, secret=secret, dict=DICTIONARY, id=5)
    for name, value in attributes.items():
        packet[name.replace("_", "-")] = value
    packet.message_authenticator = signed
    return packet, packet.RequestPacket()


def answer_of(listener, code, **more):
    packet, raw = order(code, **more)
    listener.datagram_received(raw, ("198.18.0.1", 4000))
    sent = listener._transport.sent
    if not sent:
        return None
    reply = packet.CreateReply(packet=sent[-1])
    assert packet.VerifyReply(reply, sent[-1])
    return reply.code, (reply.get("Error-Cause") or [None])[0]


def test_a_coa_changes_rates_and_wall_and_a_repeat_changes_nothing_more(listener):
    asked = {"User_Name": "ada@isp", "WISPr_Bandwidth_Max_Down": 7_000_000, "Filter_Id": "walled"}
    _, raw = order(CoARequest, **asked)
    listener.datagram_received(raw, ("198.18.0.1", 4000))
    listener.datagram_received(raw, ("198.18.0.1", 4000))
    assert listener._box.did == [("ada@isp", 7_000_000, True)]
    first, second = listener._transport.sent
    assert first == second and first[0] == CoAACK


@pytest.mark.parametrize(
    ("code", "asked", "answer"),
    [
        (DisconnectRequest, {"User_Name": "ada@isp"}, (DisconnectACK, None)),
        (DisconnectRequest, {"User_Name": "eve@isp"}, (DisconnectNAK, 503)),
        (DisconnectRequest, {}, (DisconnectNAK, 402)),
        (CoARequest, {"User_Name": "ada@isp"}, (CoANAK, 402)),
        (CoARequest, {"User_Name": "ada@isp", "Session_Timeout": 5, "Filter_Id": "x"}, (CoANAK, 401)),
        (CoARequest, {"NAS_Identifier": "bng2", "User_Name": "ada@isp", "Filter_Id": "x"}, (CoANAK, 403)),
    ],
)
def test_orders_and_their_answers(listener, code, asked, answer):
    assert answer_of(listener, code, **asked) == answer


@pytest.mark.parametrize("how", [{"signed": False}, {"secret": b"guess"}])
def test_what_is_not_signed_is_not_heard(listener, how):
    assert answer_of(listener, DisconnectRequest, User_Name="ada@isp", **how) is None
    assert listener._box.did == []


def test_what_the_box_cannot_do_is_no_success():
    sessions = Sessions(1)
    hers(sessions)
    listener = DynamicAuthorization("bng1", SECRET, sessions, Box(broken=True))
    listener.connection_made(Wire())
    assert answer_of(listener, CoARequest, User_Name="ada@isp", Filter_Id="walled") == (CoANAK, 506)


# --- guests -------------------------------------------------------------------------------------------------


def test_only_where_the_processor_has_amx_is_a_guest_kept_from_avx():
    command = ["linux.uml", "quiet"]
    assert guest_exec.words(command, {"fpu", "avx2"}) == command
    assert guest_exec.words(command, {"fpu", "amx_tile"})[-1].startswith("GLIBC_TUNABLES=")


def test_a_session_without_an_interface_has_no_number():
    with pytest.raises(AssertionError):
        _ = Session("x", LINE, "ada@isp").unit

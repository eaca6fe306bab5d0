"""CoA and Disconnect (RFC 5176) over real UDP."""

import socket

import pytest
from pyrad.packet import (
    CoAACK,
    CoANAK,
    CoAPacket,
    CoARequest,
    DisconnectACK,
    DisconnectNAK,
    DisconnectRequest,
)

from turnup.lab.radius import DICTIONARY


def ask(lab, code, secret="lab-coa-secret", sign=True, timeout_s=2.0, repeat=1, **attributes):
    """The reply and its Error-Cause (0 where absent), or None when the NAS stays silent."""
    packet = CoAPacket(code=code, secret=secret.encode(), dict=DICTIONARY)
    for name, value in attributes.items():
        packet[name.replace("_", "-")] = value
    packet.message_authenticator = sign
    raw = packet.RequestPacket()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(timeout_s)
        answers = []
        for _ in range(repeat):
            peer.sendto(raw, tuple(lab.endpoints["elements"]["bng1"]["coa"]))
            try:
                answers.append(peer.recv(4096))
            except TimeoutError:
                return None
    assert len(set(answers)) == 1, "a repeated request gets the same answer"
    reply = packet.CreateReply(packet=answers[0])
    assert packet.VerifyReply(reply, answers[0])
    return reply.code, (reply.get("Error-Cause") or [0])[0]


@pytest.fixture
def session(line):
    line.provision()
    line.plug()
    return line.until("online")["session"]


def test_coa_changes_the_rates_of_the_live_session(lab, session):
    assert ask(
        lab, CoARequest, User_Name="S1@isp",
        WISPr_Bandwidth_Max_Down=20_000_000, WISPr_Bandwidth_Max_Up=5_000_000,
    ) == (CoAACK, 0)  # fmt: skip
    after = lab.client.cpe(name="S1")["session"]
    assert (after["session"], after["down-kbps"], after["up-kbps"]) == (session["session"], 20_000, 5_000)
    assert lab.client.traffic()["S1"]["down_kbps"] == 20_000


def test_coa_by_session_id_walls_in_and_lets_out(lab, session):
    ident = session["session"]
    assert ask(lab, CoARequest, Acct_Session_Id=ident, Filter_Id="walled") == (CoAACK, 0)
    assert lab.client.reach(name="S1") is False
    assert ask(lab, CoARequest, Acct_Session_Id=ident, Filter_Id="none") == (CoAACK, 0)
    assert lab.client.reach(name="S1") is True


def test_disconnect_drops_the_session_and_the_cpe_dials_again(lab, line, session):
    assert ask(lab, DisconnectRequest, User_Name="S1@isp", repeat=3) == (DisconnectACK, 0)
    again = lab.client.wait_for(
        lambda client: (
            (now := client.cpe(name="S1")["session"]) and now["session"] != session["session"] and now
        )
    )
    assert again["ipv4"] == "192.0.2.1"
    line.until_accounted("start", 2)
    assert [row for row in line.accounting("status", "terminate_cause") if row[0] == "stop"] == [
        ("stop", "Admin-Reset")
    ]


@pytest.mark.parametrize(
    ("code", "attributes", "cause"),
    [
        (CoARequest, {"User_Name": "nobody", "Filter_Id": "x"}, 503),
        (DisconnectRequest, {"User_Name": "nobody"}, 503),
        (CoARequest, {"Filter_Id": "x"}, 402),
        (CoARequest, {"User_Name": "S1@isp"}, 402),
        (CoARequest, {"User_Name": "S1@isp", "Class": b"x", "Filter_Id": "x"}, 401),
        (CoARequest, {"User_Name": "S1@isp", "NAS_Identifier": "other", "Filter_Id": "x"}, 403),
    ],
)
def test_naks_carry_their_cause(lab, session, code, attributes, cause):
    assert ask(lab, code, **attributes) == (CoANAK if code == CoARequest else DisconnectNAK, cause)
    assert lab.client.cpe(name="S1")["session"]["session"] == session["session"]


def test_a_nas_without_coa_wants_a_disconnect(lab, session):
    lab.client.set_coa(device="bng1", supported=False)
    assert ask(lab, CoARequest, User_Name="S1@isp", Filter_Id="walled") == (CoANAK, 406)
    assert ask(lab, DisconnectRequest, User_Name="S1@isp") == (DisconnectACK, 0)


def test_what_is_not_genuine_or_too_old_gets_no_answer(lab, session):
    assert ask(lab, DisconnectRequest, secret="wrong", timeout_s=0.3, User_Name="S1@isp") is None
    assert ask(lab, DisconnectRequest, timeout_s=0.3, User_Name="S1@isp", Event_Timestamp=1_000_000) is None
    assert lab.client.cpe(name="S1")["session"]["session"] == session["session"]
    assert ask(lab, DisconnectRequest, sign=False, User_Name="S1@isp") == (DisconnectACK, 0)


def test_lies_about_coa(lab, session):
    lab.client.lie(device="bng1", kind="refuse", on="coa")
    assert ask(lab, CoARequest, User_Name="S1@isp", Filter_Id="walled") == (CoANAK, 501)
    lab.client.lie(device="bng1", kind="lost_ack", on="coa")
    assert ask(lab, CoARequest, timeout_s=0.3, User_Name="S1@isp", Filter_Id="walled") is None
    assert lab.client.reach(name="S1") is False  # applied, though nobody said so


def test_a_dead_bng_answers_no_coa(lab, session):
    lab.client.power_off(device="bng1")
    assert ask(lab, DisconnectRequest, timeout_s=0.3, User_Name="S1@isp") is None

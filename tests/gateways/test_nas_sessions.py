"""Live sessions on the lab's BNG: changed by CoA, ended by Disconnect, read over SSH."""

from dataclasses import replace

import pytest

from builders.lab_network import credentials_of, element_of
from turnup.contracts.provisioning import LiveSession
from turnup.gateways.radius.sessions import RadiusSessions
from turnup.gateways.tlos.sessions import NasSessions
from turnup.gateways.transports.nas import NasAccess
from turnup.kernel.errors import InvalidInput, NotFound, Unavailable


@pytest.fixture
def nas(lab, ssh):
    elements = {"bng1": element_of(lab, "bng1")}
    return NasSessions(NasAccess(elements.get, lambda _: credentials_of(lab, "bng1"), ssh))


@pytest.fixture
def session(lines):
    lines.provision()
    lines.plug()
    return lines.until("online")["session"]


def change(nas, down=20_000, up=5_000, walled=False, user="s1@isp", deadline_s=3.0):
    wanted = LiveSession(down_kbps=down, up_kbps=up, walled=walled)
    return nas.change_authorization("bng1", user, wanted, deadline_s=deadline_s)


def speeds(down_kbps, up_kbps):
    return LiveSession(down_kbps=down_kbps, up_kbps=up_kbps, walled=False)


def test_speeds_are_what_the_nas_says(nas, session):
    assert nas.live_session("bng1", "s1@isp", deadline_s=3.0) == LiveSession(
        down_kbps=300_000, up_kbps=50_000, walled=False
    )
    assert nas.live_session("bng1", "nobody@isp", deadline_s=3.0) is None


def test_a_live_session_changes_without_dropping(nas, session, lab):
    assert change(nas)
    assert nas.live_session("bng1", "s1@isp", deadline_s=3.0) == LiveSession(
        down_kbps=20_000, up_kbps=5_000, walled=False
    )
    assert lab.client.cpe(name="s1")["session"]["session"] == session["session"]


def test_walled_in_and_out_again(nas, session, lab):
    assert change(nas, walled=True)
    assert not lab.client.reach(name="s1", to="internet")
    assert change(nas)
    assert lab.client.reach(name="s1", to="internet")


def test_what_cannot_be_is_said(nas, session, lab):
    assert not change(nas, user="nobody@isp")
    assert not nas.disconnect("bng1", "nobody@isp", deadline_s=3.0)
    lab.client.set_coa(device="bng1", supported=False)
    try:
        assert not change(nas)
    finally:
        lab.client.set_coa(device="bng1", supported=True)


def test_a_refused_disconnect_is_no_lack_of_a_session(nas, session, lab):
    lab.client.lie(device="bng1", kind="refuse", on="coa")
    with pytest.raises(Unavailable, match="Error-Cause 501"):
        nas.disconnect("bng1", "s1@isp", deadline_s=3.0)


def test_a_nas_of_radius_alone_is_told_and_cannot_be_asked(lab, ssh, session):
    blind = RadiusSessions(
        NasAccess({"bng1": element_of(lab, "bng1")}.get, lambda _: credentials_of(lab, "bng1"), ssh)
    )
    assert not blind.reports_sessions("bng1")
    assert change(blind)
    assert lab.client.cpe(name="s1")["session"]["down-kbps"] == 20_000
    assert blind.disconnect("bng1", "s1@isp", deadline_s=3.0)
    with pytest.raises(InvalidInput, match="cannot be asked"):
        blind.live_session("bng1", "s1@isp", deadline_s=1.0)


def test_a_disconnected_subscriber_dials_again(nas, session, lines):
    assert nas.disconnect("bng1", "s1@isp", deadline_s=3.0)
    lines.lab.client.wait_for(
        lambda client: (now := client.cpe(name="s1")["session"]) and now["session"] != session["session"]
    )


def test_a_lost_answer_is_had_by_repeating(nas, session, lab):
    lab.client.lie(device="bng1", kind="lost_ack", on="coa")
    assert change(nas)
    assert nas.live_session("bng1", "s1@isp", deadline_s=3.0) == LiveSession(
        down_kbps=20_000, up_kbps=5_000, walled=False
    )


def test_silence_and_a_wrong_secret_are_unavailable(nas, session, lab, ssh):
    wrong = replace(credentials_of(lab, "bng1"), coa_secret="guess")
    liar = NasSessions(NasAccess({"bng1": element_of(lab, "bng1")}.get, lambda _: wrong, ssh))
    with pytest.raises(Unavailable):
        change(liar, deadline_s=0.6)
    lab.client.power_off(device="bng1")
    with pytest.raises(Unavailable):
        change(nas, deadline_s=0.6)
    with pytest.raises(Unavailable):
        nas.live_session("bng1", "s1@isp", deadline_s=2.0)


def test_missing_secrets_and_elements_are_named(nas, lab, ssh):
    secretless = replace(credentials_of(lab, "bng1"), coa_secret=None)
    bare = NasSessions(NasAccess({"bng1": element_of(lab, "bng1")}.get, lambda _: secretless, ssh))
    with pytest.raises(InvalidInput, match="CoA secret"):
        change(bare)
    with pytest.raises(NotFound):
        nas.disconnect("bng9", "s1@isp", deadline_s=1.0)
    for user in ("a,b", "a b", "a;reboot", ""):
        with pytest.raises(InvalidInput):
            nas.live_session("bng1", user, deadline_s=1.0)

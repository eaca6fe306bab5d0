"""The probe against the lab's agents: what answers, what is silent, what cannot be asked."""

from dataclasses import replace

import pytest

from builders.lab_network import element_of
from turnup.gateways.snmp.probe import SnmpProbe
from turnup.kernel.clock import ManualClock, SystemClock
from turnup.kernel.errors import NotFound


@pytest.fixture
def probe():
    return SnmpProbe(lambda element: "lab-public", SystemClock())


def test_elements_tell_their_ports_and_counters(lab, lines, probe):
    lines.provision()
    lines.plug()
    lines.until("online")
    elements = [element_of(lab, code) for code in ("olt1", "olt2", "bng1")]
    seen = {each.element_id: each for each in probe.poll(elements, deadline_s=3.0)}
    olt, _, bng = (seen[element.id] for element in elements)
    assert all(each.reachable and each.round_trip_ms > 0 and each.uptime_s > 0 for each in seen.values())
    assert len(olt.ports) == 18 and olt.ports["pon-0/1/3"] and olt.ports["xe-0/0/0"]
    assert set(olt.octets) == set(olt.ports) and "xe-0/0/3" in bng.ports
    lab.client.advance_clock(seconds=10)
    again = probe.poll(elements[:1], deadline_s=3.0)[0]
    assert again.octets["pon-0/1/3"][1] > olt.octets["pon-0/1/3"][1] > 0


def test_a_cut_link_is_down_at_both_ends(lab, probe):
    lab.client.cut_link(name="olt1-uplink")
    elements = [element_of(lab, code) for code in ("olt1", "bng1")]
    olt, bng = probe.poll(elements, deadline_s=3.0)
    assert not olt.ports["xe-0/0/0"] and not bng.ports["xe-0/0/0"] and bng.ports["xe-0/0/1"]


def test_a_dead_element_and_a_wrong_community_are_silent(lab, probe):
    lab.client.power_off(device="olt1")
    elements = [element_of(lab, code) for code in ("olt1", "olt2")]
    dead, alive = probe.poll(elements, deadline_s=1.0)
    assert (dead.reachable, alive.reachable) == (False, True)
    assert dead.ports == {} and dead.round_trip_ms is None
    guess = SnmpProbe(lambda element: "guess", SystemClock())
    assert [each.reachable for each in guess.poll(elements[1:], deadline_s=0.5)] == [False]


def test_what_cannot_be_asked_is_left_out(lab):
    def nothing(element):
        raise NotFound("the element has no credentials")

    element = element_of(lab, "olt1")
    assert SnmpProbe(nothing, SystemClock()).poll([element], deadline_s=1.0) == []
    assert SnmpProbe(lambda _: None, SystemClock()).poll([element], deadline_s=1.0) == []
    homeless = replace(element, management={})
    assert SnmpProbe(lambda _: "c", SystemClock()).poll([homeless], deadline_s=1.0) == []


def test_an_element_without_snmp_is_pinged(lab):
    now = SystemClock().now()
    element = replace(element_of(lab, "olt1"), management={"host": "127.0.0.1"})
    found = SnmpProbe(lambda _: None, ManualClock(now)).poll([element], deadline_s=2.0)
    if not found:
        pytest.skip("this machine lets us send no ICMP (net.ipv4.ping_group_range, CAP_NET_RAW)")
    assert found[0].reachable and found[0].at == now and found[0].ports == {}

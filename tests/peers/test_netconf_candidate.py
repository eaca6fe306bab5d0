"""The same on an element with a candidate to commit and a startup configuration to save."""

import pytest

from peers.test_netconf_switch import gone, service, start_switch, wanted
from turnup.contracts.configuration import ElementRefused
from turnup.kernel.errors import Unavailable


@pytest.fixture(scope="module")
def switch(host):
    return start_switch(host, "--target=candidate --with-startup=true")


def test_what_is_wanted_is_committed_and_saved(switch):
    other = switch.session()
    assert {":candidate", ":startup"} <= {
        word for word in (":candidate", ":startup") if word in other.server_capabilities
    }
    switch.apply(wanted(1, "p1"), wanted(2, "p2"))
    assert switch.held() == {service(1): wanted(1, "p1").want, service(2): wanted(2, "p2").want}
    assert str(service(2)) in other.get_config("startup").data_xml
    other.close_session()
    backup = switch.config()
    switch.apply(gone(1, 2), gone(2, 2))
    assert switch.held() == {}
    switch.restore(backup)
    assert set(switch.held()) == {service(1), service(2)}
    switch.apply(gone(1, 3), gone(2, 3))


def test_what_somebody_left_in_the_candidate_is_not_committed_with_ours(switch):
    other = switch.session()
    edit = (
        '<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">'
        '<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"><interface><name>p3</name>'
        '<type xmlns:t="urn:ietf:params:xml:ns:yang:iana-if-type">t:ethernetCsmacd</type>'
        "<description>half an idea</description></interface></interfaces></config>"
    )
    other.edit_config(target="candidate", config=edit)
    with pytest.raises((Unavailable, ElementRefused)):
        switch.apply(wanted(4, "p1"))
    other.discard_changes()
    other.close_session()
    switch.apply(wanted(4, "p1"))
    assert "half an idea" not in switch.config()
    switch.apply(gone(4, 2))

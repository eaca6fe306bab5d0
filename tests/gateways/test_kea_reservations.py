"""What Kea should hold for a service, from its fragment and back; the database is real in tests/peers."""

import ipaddress
import json

import pytest

from turnup.contracts.configuration import ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.dhcp.reservation import (
    ADDRESS,
    CIRCUIT_ID,
    HW_ADDRESS,
    PREFIX,
    Row,
    Server,
    fragment,
    reservation,
)
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id

HER = ServiceId(derived_id("service", "her"))
PORTAL = "https://pay.example/api"


def server(**management):
    element = ElementView(
        id=ElementId(derived_id("element", "kea1")), code="kea1", role="dhcp",
        site_id=SiteId(derived_id("site", "pop9")), driver="kea", status="in_service",
        management={"subnets4": "100.64.0.0/20=1 198.51.100.0/24=2", "subnets6": "2001:db8:1::/48=1",
                    "captive_portal": PORTAL, **management},
    )  # fmt: skip
    return Server.of(element)


def wanted(**changed):
    attributes = {
        "circuit_id": "agw1/p1/1000", "ipv4": "198.51.100.7", "ipv6_wan": "2001:db8:1:5::/64",
        "ipv6_pd": "2001:db8:100:500::/56", "walled": "no", **changed,
    }  # fmt: skip
    return Fragment(service_id=HER, kind="dhcp_subscriber", attributes=attributes, generation=2)


def rows_of(made):
    """As Kea's tables would hold it."""
    context = json.loads(made.context)
    v6 = (
        (made.wan_address, 128, ADDRESS),
        (str(made.delegated.network_address), made.delegated.prefixlen, PREFIX),
    )
    return [
        Row(made.identifier, CIRCUIT_ID, int(made.ipv4), (), context, made.captive_portal),
        Row(made.identifier, HW_ADDRESS, None, v6, context, made.captive_portal),
    ]


@pytest.mark.parametrize("walled", ["no", "yes"])
def test_what_is_written_is_what_is_read(walled):
    kea = server()
    made = reservation(kea, wanted(walled=walled))
    assert (made.identifier, made.subnet4, made.subnet6) == (b"p1", 2, 1)
    assert made.wan_address == "2001:db8:1:5::1"
    assert made.ipv4 == ipaddress.IPv4Address("198.51.100.7")
    assert made.captive_portal == (PORTAL if walled == "yes" else None)
    assert fragment(kea, HER, rows_of(made)) == wanted(walled=walled)


def test_a_relay_that_sends_the_whole_circuit_id():
    assert reservation(server(circuit_id="full"), wanted()).identifier == b"agw1/p1/1000"


def test_another_portal_or_port_is_drift():
    kea = server()
    made = reservation(kea, wanted())
    first, second = rows_of(made)
    other_portal = Row(
        first.identifier, first.identifier_type, first.ipv4, (), first.context, "http://elsewhere/"
    )
    assert fragment(kea, HER, [other_portal, second]).attributes["walled"] == "partly"
    moved = Row(b"p9", first.identifier_type, first.ipv4, (), first.context, None)
    assert fragment(kea, HER, [moved]).attributes["circuit_id"] == "?/p9/-"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"ipv4": "192.0.2.1"}, "attributes.ipv4"),
        ({"ipv6_wan": "2001:db8:2::/64"}, "attributes.ipv6_wan"),
        ({"circuit_id": "p1"}, "attributes.circuit_id"),
        ({"circuit_id": f"agw1/{'x' * 21}/1"}, "attributes.circuit_id"),
        ({"down_kbps": "1"}, "attributes.down_kbps"),
    ],
)
def test_what_kea_cannot_take_is_refused(changed, field):
    with pytest.raises(ElementRefused) as refused:
        reservation(server(), wanted(**changed))
    assert refused.value.field == field


def test_nobody_is_walled_without_a_portal_to_name():
    with pytest.raises(ElementRefused) as refused:
        kea = Server(server().subnets4, server().subnets6, None, full_circuit_id=False)
        reservation(kea, wanted(walled="yes"))
    assert refused.value.field == "management.captive_portal"

"""The Linux access gateway's words: reading what tc, nft and ip print, and what is refused before it is sent.

What the kernel makes of the scripts is tested with real packets in tests/peers.
"""

import json

import pytest

from turnup.contracts.configuration import Change, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.linux.reading import class_rate_bps, parse, plan_kbps, printed_rate
from turnup.gateways.linux.ruleset import Base, is_device
from turnup.gateways.linux.writing import script
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id

HER = ServiceId(derived_id("service", "her"))
OTHER = ServiceId(derived_id("service", "other"))


def gateway_element(**management):
    return ElementView(
        id=ElementId(derived_id("element", "agw1")),
        code="agw1",
        role="bng",
        site_id=SiteId(derived_id("site", "pop9")),
        driver="linux",
        management={
            "host": "192.0.2.1",
            "uplink": "up0",
            "garden": "203.0.113.20 2001:db8:f::20",
            **management,
        },
        status="in_service",
    )


def wanted(service=HER, **changed):
    attributes = {
        "username": "s-1",
        "circuit_id": "agw1/p1/1000",
        "ipv4": "100.64.0.2",
        "ipv6_wan": "2001:db8:1:1::/64",
        "ipv6_pd": "2001:db8:100::/56",
        "down_kbps": "50000",
        "up_kbps": "10000",
        "walled": "no",
        **changed,
    }
    attributes = {name: value for name, value in attributes.items() if value is not None}
    fragment = Fragment(service_id=service, kind="subscriber", attributes=attributes, generation=3)
    return Change(service_id=service, kind="subscriber", want=fragment, generation=3)


def shown(*, rate_down="51849Kbit", walled=(), routes_on="p1"):
    """What the gateway prints when it holds what `wanted` says."""
    elements = [
        [{"elem": {"val": "100.64.0.2", "comment": str(HER)}}, "1:10"],
    ]
    prefixes = [
        [{"elem": {"val": {"prefix": {"addr": address, "len": length}}, "comment": f"{HER} {what}"}}, "1:10"]
        for address, length, what in (("2001:db8:1:1::", 64, "wan"), ("2001:db8:100::", 56, "pd"))
    ]
    tables = {
        "nftables": [
            {"table": {"family": "inet", "name": "turnup"}},
            {"map": {"name": "class4", "elem": elements}},
            {"map": {"name": "class6", "elem": prefixes}},
            {"set": {"name": "walled4", "elem": list(walled)}},
        ]
    }
    routes6 = [{"dst": "2001:db8:1:1::/64", "dev": routes_on}, {"dst": "2001:db8:100::/56", "dev": routes_on}]
    return f"""## nft
{json.dumps(tables)}
## class p1
class htb 1:10 root prio 0 rate {rate_down} ceil {rate_down} burst 64811b cburst 64811b
## class up0
class htb 1:10 root prio 0 rate 10369Kbit ceil 10369Kbit burst 15997b cburst 15997b
## route4
{json.dumps([{"dst": "100.64.0.2", "dev": routes_on}])}
## route6
{json.dumps(routes6)}
## files
7
{"a" * 64}  base.nft
service {HER}
generation 3
username s-1
circuit_id agw1/p1/1000
down_kbps 50000
up_kbps 10000
service {OTHER}
generation 9
"""


def test_what_the_kernel_has_is_read():
    gateway = parse(shown())
    held = gateway.services[str(HER)]
    assert (gateway.epoch, gateway.base_sha256, gateway.has_table) == (7, "a" * 64, True)
    assert (held.ipv4, held.ipv6_wan, held.ipv6_pd) == (
        "100.64.0.2",
        "2001:db8:1:1::/64",
        "2001:db8:100::/56",
    )
    assert (held.down_kbps, held.up_kbps, held.walled, held.port, held.generation) == (
        50_000,
        10_000,
        "no",
        "p1",
        3,
    )
    assert not gateway.services[str(OTHER)].present, "a file alone is a fence, not a subscriber"
    assert gateway.services[str(OTHER)].generation == 9


def test_a_rate_changed_by_hand_is_seen():
    held = parse(shown(rate_down="1Mbit")).services[str(HER)]
    assert held.down_kbps == 964
    assert held.up_kbps == 10_000


def test_half_a_wall_is_no_wall():
    assert parse(shown(walled=["100.64.0.2"])).services[str(HER)].walled == "partly"


def test_a_prefix_routed_elsewhere_is_not_hers():
    text = shown().replace(
        '"dst": "2001:db8:100::/56", "dev": "p1"', '"dst": "2001:db8:100::/56", "dev": "p2"'
    )
    held = parse(text).services[str(HER)]
    assert held.ipv6_wan == "2001:db8:1:1::/64"
    assert held.ipv6_pd is None


@pytest.mark.parametrize("kbps", [64, 999, 1_000, 5_000, 50_000, 300_000, 999_999, 1_000_000, 10_000_000])
def test_every_plan_is_read_back_as_it_was_meant(kbps):
    """tc cuts large rates; a noted plan is believed only where tc would show just that."""
    printed = printed_rate(class_rate_bps(kbps))
    assert plan_kbps(printed, kbps) == kbps
    assert plan_kbps(printed, kbps * 2) == pytest.approx(kbps, rel=0.002)


def test_rates_are_printed_as_tc_prints_them():
    assert printed_rate(50_466_672) == "50466Kbit"
    assert printed_rate(1_009_333_336) == "1009Mbit"
    assert printed_rate(1_000_000) == "1Mbit"
    assert printed_rate(999_992) == "999992bit"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("circuit_id", "agw1/p1;reboot/1000"),
        ("circuit_id", "agw1/p1"),
        ("username", "a\nnft flush ruleset"),
        ("username", None),
        ("ipv4", "100.64.0.2 } ; flush ruleset"),
        ("ipv6_pd", "2001:db8:100::1/56"),
        ("down_kbps", "0"),
        ("down_kbps", "1000; reboot"),
        ("nonsense", "x"),
    ],
)
def test_what_could_be_another_command_is_refused(name, value):
    base = Base.of(gateway_element())
    with pytest.raises(ElementRefused) as refused:
        script(base, parse(""), [wanted(**{name: value})])
    assert refused.value.field == f"attributes.{name}"


def test_a_service_without_addresses_is_refused():
    with pytest.raises(ElementRefused):
        script(Base.of(gateway_element()), parse(""), [wanted(ipv4=None, ipv6_wan=None)])


def test_two_new_services_get_two_classes_and_a_known_one_keeps_its_own():
    base = Base.of(gateway_element())
    text, _ = script(
        base, parse(shown()), [wanted(), wanted(OTHER, ipv4="100.64.0.3", ipv6_wan=None, ipv6_pd=None)]
    )
    assert "100.64.0.2 comment" in text and ": 1:10 }" in text
    assert "100.64.0.3 comment" in text and ": 1:11 }" in text


def test_a_removal_takes_all_away_and_leaves_the_fence():
    gone = Change(service_id=HER, kind="subscriber", want=None, generation=4)
    text, commands = script(Base.of(gateway_element()), parse(shown(walled=["100.64.0.2"])), [gone])
    assert "delete element inet turnup class4 { 100.64.0.2 }" in commands
    assert "delete element inet turnup walled4 { 100.64.0.2 }" in commands
    assert "route del 2001:db8:100::/56 dev p1 proto 188" in commands
    assert {"class del dev p1 classid 1:10", "class del dev up0 classid 1:10"} <= set(commands)
    assert f"service {HER}\ngeneration 4\n" in text


@pytest.mark.parametrize("management", [{"uplink": ""}, {"uplink": "a b"}, {"garden": "pay.example"}])
def test_management_that_makes_no_ruleset_is_refused(management):
    with pytest.raises(ElementRefused):
        Base.of(gateway_element(**management))


def test_names_of_interfaces():
    assert is_device("p1") and is_device("eth0.100")
    assert not any(map(is_device, ("", "p 1", "a/b", "x" * 16, "..", "$(id)")))

"""Pure rules of inventory: network documents, pools as positions, topology, the nearest site."""

import copy
from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.conftest import NETWORK
from turnup.contracts.inventory import LinkView, SiteView
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import ElementId, LinkId, SiteId, derived_id
from turnup.oss.inventory import rules


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    document = copy.deepcopy(dict(NETWORK))
    change(document)
    return document


def test_a_document_is_read() -> None:
    network = rules.parse_network(NETWORK)
    assert [site.code for site in network.sites] == ["pop1"]
    olt = network.elements[0]
    assert [(port.name, port.capacity, port.first_vlan) for port in olt.ports] == [
        ("pon-0/1/0", 8, 1200),
        ("pon-0/1/1", 8, 1200),
        ("xe-0/0/0", 1, 1000),
    ]
    assert network.links[0].b_element == "bng1"
    assert (network.pools[3].prefix_length, network.pools[0].reserved) == (56, {"192.0.2.1"})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d.update(sites={"code": "x"}), "sites"),
        (lambda d: d.update(sites=["pop1"]), "sites[0]"),
        (lambda d: d["sites"][0].pop("code"), "sites[0].code"),
        (lambda d: d["sites"][0].update(latitude="north"), "sites[0].latitude"),
        (lambda d: d["sites"].append(d["sites"][0]), "sites[1].code"),
        (lambda d: d["elements"][0].update(role="modem"), "elements[0].role"),
        (lambda d: d["elements"][1].update(site="pop9"), "elements[1].site"),
        (lambda d: d["elements"][1].update(code="olt1"), "elements[1].code"),
        (lambda d: d["elements"][0].update(management=["x"]), "elements[0].management"),
        (lambda d: d["elements"][0].update(ports={"name": "x"}), "elements[0].ports"),
        (lambda d: d["elements"][0]["ports"].append("xe-1"), "elements[0].ports[2]"),
        (lambda d: d["elements"][0]["ports"][0].update(name="pon-{0-"), "elements[0].ports[0].name"),
        (lambda d: d["elements"][0]["ports"][0].update(name="pon-{3-1}"), "elements[0].ports[0].name"),
        (lambda d: d["elements"][0]["ports"][0].update(name="pon-{a-b}"), "elements[0].ports[0].name"),
        (lambda d: d["elements"][0]["ports"][0].update(capacity="many"), "elements[0].ports[0].capacity"),
        (lambda d: d["elements"][0]["ports"][0].update(first_vlan=4094), "elements[0].ports[0].first_vlan"),
        (lambda d: d["links"][0].update(b="bng1/xe-9"), "links[0].b"),
        (lambda d: d["links"][0].pop("a"), "links[0].a"),
        (lambda d: d["pools"][0].update(kind="ipv5"), "pools[0].kind"),
        (lambda d: d["pools"][0].update(prefixes=["192.0.2.1/29"]), "pools[0].prefixes[0]"),
        (lambda d: d["pools"][0].update(prefixes="192.0.2.0/29"), "pools[0].prefixes"),
        (lambda d: d["pools"][2].update(prefixes=["192.0.2.0/29"]), "pools[2].prefixes[0]"),
        (lambda d: d["pools"][2].update(prefix_length=40), "pools[2].prefixes[0]"),
        (lambda d: d["pools"][2].update(prefix_length="long"), "pools[2].prefix_length"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(change: Callable[[dict[str, Any]], Any], path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        rules.parse_network(changed(change))
    assert raised.value.field == path
    assert raised.value.remedy


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Any], int]:
    """Up to three disjoint prefixes of one family and the length of what they give."""
    wide, top, lengths = draw(
        st.sampled_from([(32, "10.{}.0.0", (24, 30, 31, 32)), (64, "2001:db8:{}::", (56, 60, 64))])
    )
    length = wide
    blocks = draw(st.lists(st.integers(0, 255), min_size=1, max_size=3, unique=True))
    prefixes = [
        ip_network(f"{top.format(block)}/{draw(st.sampled_from([n for n in lengths if n <= length]))}")
        for block in blocks
    ]
    return prefixes, length


@given(pools())
def test_a_pool_gives_every_usable_value_once(pool: tuple[list[Any], int]) -> None:
    prefixes, length = pool
    size = rules.pool_size(prefixes, length)
    values = [rules.pool_value(prefixes, length, n) for n in range(size)]
    expected = []
    for prefix in prefixes:
        if prefix.version == 4:
            usable = {str(host) for host in prefix.hosts()}
            expected += [str(a) if str(a) in usable else "" for a in prefix]
        else:
            expected += [str(sub) for sub in prefix.subnets(new_prefix=length)]
    assert values == expected
    assert rules.pool_value(prefixes, length, size) is None


@given(pools(), st.integers(0, 600), st.integers(1, 300))
def test_positions_and_chunks_agree_with_values(pool: tuple[list[Any], int], start: int, chunk: int) -> None:
    prefixes, length = pool
    reserved = {rules.pool_value(prefixes, length, 1) or "none"}
    values, end = rules.next_values(prefixes, length, reserved, start, chunk)
    assert start <= end <= max(start, rules.pool_size(prefixes, length))
    assert end - start <= chunk
    for n, value in values:
        assert value == rules.pool_value(prefixes, length, n)
        assert rules.pool_position(prefixes, length, value) == n
        assert value not in reserved
    skipped = set(range(start, end)) - {n for n, _ in values}
    assert all(rules.pool_value(prefixes, length, n) in {"", *reserved} for n in skipped)


@pytest.mark.parametrize("value", ["203.0.113.1", "192.0.2.0", "192.0.2.4/31", "2001:db8::/64", "nonsense"])
def test_a_value_no_pool_gives_has_no_position(value: str) -> None:
    assert rules.pool_position([ip_network("192.0.2.0/29")], 32, value) is None
    assert rules.pool_position([ip_network("192.0.2.0/29")], 32, "192.0.2.3") == 3
    assert ip_address("192.0.2.3") in ip_network("192.0.2.0/29")


def element(n: int) -> ElementId:
    return ElementId(derived_id("element", n))


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12),
    st.integers(0, 6),
    st.integers(0, 11),
    st.booleans(),
)
def test_who_is_cut_off_equals_a_search_for_every_path(
    edges: list[tuple[int, int]], failed: int, failed_link: int, whole: bool
) -> None:
    """Elements 0 and 1 are cores, the rest access; the oracle tries an access element's paths one by one."""
    links = [
        LinkView(
            id=LinkId(derived_id("link", n)),
            a_element=element(a),
            a_port=f"p{n}",
            b_element=element(b),
            b_port=f"p{n}",
        )
        for n, (a, b) in enumerate(edges)
    ]
    port = None if whole else f"p{failed_link}"
    dead = {n for n, edge in enumerate(edges) if failed in edge and (whole or n == failed_link)}

    def reaches_core(present: int, seen: frozenset[int]) -> bool:
        if whole and present == failed:
            return False
        if present in (0, 1):
            return True
        return any(
            reaches_core(b if a == present else a, seen | {present})
            for n, (a, b) in enumerate(edges)
            if n not in dead and present in (a, b) and (b if a == present else a) not in seen
        )

    found = rules.elements_cut_off(
        access=[element(n) for n in range(2, 7)],
        cores=[element(0), element(1)],
        links=links,
        failed=element(failed),
        failed_port=port,
    )
    assert found == {element(n) for n in range(2, 7) if not reaches_core(n, frozenset())}


def site(code: str, latitude: str | None, longitude: str | None) -> SiteView:
    return SiteView(
        id=SiteId(derived_id("site", code)),
        code=code,
        name=code,
        latitude=None if latitude is None else Decimal(latitude),
        longitude=None if longitude is None else Decimal(longitude),
    )


def test_the_nearest_site_in_reach_serves() -> None:
    berlin, potsdam = site("berlin", "52.520", "13.405"), site("potsdam", "52.391", "13.063")
    lost = site("lost", None, None)
    here = (Decimal("52.400"), Decimal("13.100"))
    assert rules.nearest_site(here, [(berlin, Decimal(40)), (potsdam, Decimal(40))]) == potsdam
    assert rules.nearest_site(here, [(berlin, Decimal(40)), (potsdam, Decimal(1))]) == berlin
    assert rules.nearest_site(here, [(berlin, Decimal(5)), (lost, Decimal(900))]) is None
    # Berlin to Potsdam: 27.2 km as the crow flies
    assert rules.distance_km(
        (Decimal("52.520"), Decimal("13.405")), (Decimal("52.391"), Decimal("13.063"))
    ) == pytest.approx(27.2, abs=0.2)

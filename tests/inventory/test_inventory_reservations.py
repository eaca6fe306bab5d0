"""Reserving, assigning, changing and giving back, on PostgreSQL; nobody ever shares a value."""

import copy
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from builders.house import deliver_events
from inventory.conftest import DYNAMIC, FIRST_PORT, NETWORK, SECOND_PORT, STATIC, Customers
from turnup.contracts.inventory import Reservation, ResourceNeed
from turnup.contracts.provisioning import ServiceCeased, ServiceChanged
from turnup.kernel.errors import Conflict, Exhausted, InvalidInput, NotFound
from turnup.kernel.ids import AccountId, ProductId, ServiceId, derived_id, new_id
from turnup.oss.inventory.service import Inventory
from turnup.runtime.component import Component, Runtime

Reserve = Callable[..., Reservation]


def in_use(runtime: Runtime) -> Counter[str]:
    """How often each address and line is taken, by what."""
    with runtime.database.engine.connect() as connection:
        slots = connection.execute(text("SELECT value FROM inventory.slot WHERE service_id IS NOT NULL"))
        lines = connection.execute(
            text("SELECT port_id::text || vlan FROM inventory.line WHERE service_id IS NOT NULL")
        )
        return Counter([row[0] for row in (*slots, *lines)])


def act(runtime: Runtime, do: Callable[..., Any], *args: Any) -> Any:
    with runtime.unit("inventory", "cli:anna") as unit:
        return do(unit, *args)


def test_a_service_gets_all_it_needs_and_the_same_again(runtime: Runtime, reserve: Reserve) -> None:
    first = reserve()
    assert first.resources == {
        "access_port": f"olt1/{FIRST_PORT}",
        "vlan": "1200",
        "circuit_id": f"olt1/{FIRST_PORT}/1200",
        "ipv4": "192.0.2.2",
        "ipv6_wan": "2001:db8:1::/64",
        "ipv6_pd": "2001:db8:8000::/56",
    }
    assert first.status == "reserved"
    assert first.elements == {
        role: derived_id("element", code)
        for role, code in (("access", "olt1"), ("bng", "bng1"), ("aaa", "aaa1"))
    }
    taken = in_use(runtime)
    assert reserve(first.service_id) == first
    assert in_use(runtime) == taken


def test_routers_of_the_site_serve_its_lines(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    routers = [{"code": f"core{n}", "role": "router", "driver": "frr", "site": "pop1"} for n in (1, 2)]
    act(runtime, inventory.load_network, {**NETWORK, "elements": [*NETWORK["elements"], *routers]})
    elements = reserve().elements
    assert (elements["router"], elements["router:core2"]) == (
        derived_id("element", "core1"),
        derived_id("element", "core2"),
    )


def test_ports_of_a_single_subscriber_are_told_apart(runtime: Runtime, inventory: Inventory) -> None:
    assert inventory.single_lines() == set()
    switch = {
        "code": "sw1", "role": "access", "driver": "netconf", "site": "pop1",
        "ports": [
            {"name": "p{1-2}", "kind": "ethernet", "capacity": 1},
            {"name": "shared", "kind": "ethernet", "capacity": 8},
            {"name": "up", "kind": "uplink"},
        ],
    }  # fmt: skip
    act(runtime, inventory.load_network, {**NETWORK, "elements": [*NETWORK["elements"], switch]})
    assert inventory.single_lines() == {(derived_id("element", "sw1"), port) for port in ("p1", "p2")}


def test_subscribers_are_spread_over_ports(reserve: Reserve) -> None:
    ports = Counter(reserve(needs=DYNAMIC[:2]).resources["access_port"] for _ in range(4))
    assert ports == {"olt1/pon-0/1/0": 2, "olt1/pon-0/1/1": 2}


def test_a_static_address_replaces_the_dynamic_one_once_the_network_has_it(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    first = reserve()
    act(runtime, inventory.assign, first.service_id)
    changed = reserve(first.service_id, STATIC)
    assert changed.resources == {**first.resources, "ipv4": "198.51.100.1"}
    assert {"192.0.2.2", "198.51.100.1"} <= set(in_use(runtime))  # the network still uses the old one
    act(runtime, inventory.assign, first.service_id)
    assert "192.0.2.2" not in in_use(runtime)
    assert reserve().resources["ipv4"] == "192.0.2.2"


def test_a_change_of_mind_before_the_network_has_it(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    first = reserve()
    reserve(first.service_id, STATIC)
    assert reserve(first.service_id, DYNAMIC).resources == first.resources
    act(runtime, inventory.assign, first.service_id)
    assert not any(value.startswith("198.51.100") for value in in_use(runtime))


def test_a_reverted_change_gives_the_new_address_back(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    first = reserve()
    before = in_use(runtime)
    reserve(first.service_id, STATIC)
    for _ in range(2):
        act(runtime, inventory.revert, first.service_id, first.resources)
        held = inventory.reservation(first.service_id)
        assert held is not None
        assert held.resources == first.resources
        assert in_use(runtime) == before


def test_an_undo_after_the_proof_never_shares_an_address(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    """The dynamic address went back when the change was proved, and somebody else has it now."""
    jane = reserve()
    reserve(jane.service_id, STATIC)
    act(runtime, inventory.assign, jane.service_id)
    joe = reserve()
    assert joe.resources["ipv4"] == jane.resources["ipv4"]
    back = act(runtime, inventory.regain, jane.service_id, jane.resources)
    assert back.resources == {**jane.resources, "ipv4": "192.0.2.3"}
    act(runtime, inventory.revert, jane.service_id, jane.resources)
    held = inventory.reservations()
    assert held[jane.service_id].resources["ipv4"] == "192.0.2.3"
    assert held[joe.service_id].resources["ipv4"] == "192.0.2.2"
    assert set(in_use(runtime).values()) == {1}
    assert not any(value.startswith("198.51.100") for value in in_use(runtime))


def test_the_equipment_found_meanwhile_survives_an_undo(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    first = reserve()
    act(runtime, inventory.set_ont_serial, first.service_id, "TURN0001")
    act(runtime, inventory.revert, first.service_id, first.resources)
    held = inventory.reservation(first.service_id)
    assert held is not None
    assert held.resources["ont_serial"] == "TURN0001"


def test_giving_back_twice_is_giving_back_once(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    first, other = reserve(), reserve()
    for _ in range(2):
        act(runtime, inventory.release, first.service_id)
    held = inventory.reservation(first.service_id)
    assert held is not None
    assert (held.status, held.resources, held.elements) == ("released", {}, {})
    assert len(in_use(runtime)) == 4
    assert other.resources["ipv4"] in in_use(runtime)
    with pytest.raises(NotFound):
        act(runtime, inventory.assign, first.service_id)
    again = reserve(first.service_id)
    assert again.resources["ipv4"] == first.resources["ipv4"]


def test_some_kinds_are_given_back_alone(runtime: Runtime, inventory: Inventory, reserve: Reserve) -> None:
    first = reserve()
    act(runtime, inventory.release, first.service_id, ["ipv4"])
    held = inventory.reservation(first.service_id)
    assert held is not None
    assert set(first.resources) - set(held.resources) == {"ipv4"}
    act(runtime, inventory.release, first.service_id, ["access_port"])
    held = inventory.reservation(first.service_id)
    assert held is not None
    assert set(held.resources) == {"ipv6_wan", "ipv6_pd"}


def test_an_empty_pool_is_named_and_nothing_is_half_done(runtime: Runtime, reserve: Reserve) -> None:
    for _ in range(5):
        reserve()
    before = in_use(runtime)
    with pytest.raises(Exhausted) as raised:
        reserve()
    assert (raised.value.field, "dynamic4" in raised.value.message) == ("pools.dynamic4", True)
    assert in_use(runtime) == before


def test_a_full_site_is_named(runtime: Runtime, inventory: Inventory, reserve: Reserve) -> None:
    assert inventory.free_ports("pop1") == 16
    for _ in range(16):
        reserve(needs=DYNAMIC[:2])
    assert inventory.free_ports(None) == 0
    with pytest.raises(Exhausted) as raised:
        reserve()
    assert (raised.value.field, "pop1" in raised.value.message) == ("site", True)
    assert len(in_use(runtime)) == 16


def test_a_running_service_keeps_its_values(runtime: Runtime, inventory: Inventory, reserve: Reserve) -> None:
    wanted = {
        "access_port": "olt1/pon-0/1/1",
        "vlan": "1205",
        "ipv4": "192.0.2.5",
        "ipv6_wan": "2001:db8:1:fff0::/64",
        "ipv6_pd": "2001:db8:8fff:ff00::/56",
        "ont_serial": "TURN00FF",
    }
    first = reserve(wanted=wanted)
    assert first.resources == {**wanted, "circuit_id": "olt1/pon-0/1/1/1205"}
    with runtime.database.engine.connect() as connection:
        slots = connection.scalar(text("SELECT count(*) FROM inventory.slot"))
    assert slots == 3  # a value far up in a pool of millions does not make rows of all below it
    for kind, value in (("ipv4", "192.0.2.5"), ("ipv4", "203.0.113.9"), ("ipv4", "192.0.2.1")):
        with pytest.raises(Conflict) as raised:
            reserve(wanted={kind: value})
        assert raised.value.field == kind
    with pytest.raises(Conflict) as raised:
        reserve(wanted={"access_port": "olt1/pon-0/1/1", "vlan": "1205"})
    assert raised.value.field == "access_port"
    assert [reserve().resources["ipv4"] for _ in range(4)] == [
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.6",
    ]


def test_the_address_finds_the_site(reserve: Reserve, customers: Customers, inventory: Inventory) -> None:
    near, far, unknown = (
        customers.add("52.53", "13.4"),
        customers.add("48.1", "11.6"),
        customers.add(None, None),
    )
    assert inventory.serviceable(near) == "pop1"
    assert inventory.serviceable(far) is None
    assert reserve(site=None, address_id=near).resources["access_port"].startswith("olt1/")
    assert reserve(site=None, address_id=unknown).resources["access_port"].startswith("olt1/")
    with pytest.raises(InvalidInput) as raised:
        reserve(site=None, address_id=far)
    assert raised.value.field == "address"


def test_who_hangs_where(runtime: Runtime, inventory: Inventory, reserve: Reserve) -> None:
    first, second = reserve(), reserve()
    olt, bng = derived_id("element", "olt1"), derived_id("element", "bng1")
    both = sorted([first.service_id, second.service_id])
    assert inventory.services_behind(olt) == both
    assert inventory.services_behind(bng) == both
    assert inventory.services_behind(olt, "xe-0/0/0") == both
    assert inventory.services_behind(olt, FIRST_PORT) == [first.service_id]
    assert inventory.service_by_circuit(f"olt1/{SECOND_PORT}/1200") == second.service_id
    attachment = inventory.attachment(first.service_id)
    assert attachment is not None
    assert (attachment.port, attachment.vlan, attachment.bng_element) == (FIRST_PORT, 1200, bng)
    act(runtime, inventory.release, first.service_id)
    assert inventory.services_behind(olt) == [second.service_id]
    assert [(pool.code, pool.used) for pool in inventory.pools()] == [
        ("dynamic4", 1),
        ("pd6", 1),
        ("static4", 0),
        ("wan6", 1),
    ]


def test_a_document_again_changes_nothing_and_a_bigger_one_adds(
    runtime: Runtime, inventory: Inventory
) -> None:
    assert act(runtime, inventory.load_network, NETWORK) == 0
    wider = copy.deepcopy(dict(NETWORK))
    wider["pools"][0]["prefixes"].append("192.0.2.64/26")
    wider["elements"][0]["ports"][0]["capacity"] = 16
    assert act(runtime, inventory.load_network, wider) == 2
    assert inventory.free_ports("pop1") == 32


def test_the_network_moves_resources_on(
    runtime: Runtime, component: Component, inventory: Inventory, reserve: Reserve
) -> None:
    first = reserve()
    reserve(first.service_id, STATIC)
    facts = {
        "service_id": first.service_id,
        "product_id": ProductId(new_id()),
        "account_id": AccountId(new_id()),
        "at": runtime.clock.now(),
    }
    with runtime.unit("inventory", "test") as unit:
        unit.emit(ServiceChanged(**facts, generation=2))
    deliver_events(runtime, [component])
    held = inventory.reservation(first.service_id)
    assert held is not None
    assert (held.status, "192.0.2.2" in in_use(runtime)) == ("assigned", False)
    with runtime.unit("inventory", "test") as unit:
        unit.emit(ServiceCeased(**facts))
    deliver_events(runtime, [component])
    assert in_use(runtime) == {}


def test_many_at_once_never_share_and_never_deadlock(
    runtime: Runtime, inventory: Inventory, reserve: Reserve
) -> None:
    """Services that name their needs in different orders, all at once, from pools not filled up yet."""
    wide = copy.deepcopy(dict(NETWORK))
    wide["pools"][0]["prefixes"] = ["10.0.0.0/22"]
    wide["elements"][0]["ports"][0]["capacity"] = 64
    act(runtime, inventory.load_network, wide)
    orders = (DYNAMIC, DYNAMIC[::-1], DYNAMIC[2:] + DYNAMIC[:2])
    with ThreadPoolExecutor(9) as threads:
        futures = [threads.submit(reserve, needs=orders[n % 3]) for n in range(90)]
        reservations = [future.result(timeout=60) for future in futures]
    for kind in ("circuit_id", "ipv4", "ipv6_wan", "ipv6_pd"):
        assert len({held.resources[kind] for held in reservations}) == 90
    assert set(in_use(runtime).values()) == {1}
    assert len(in_use(runtime)) == 4 * 90


def test_one_service_many_times_at_once_gets_one_set(runtime: Runtime, reserve: Reserve) -> None:
    service_id = ServiceId(new_id())
    with ThreadPoolExecutor(6) as threads:
        futures = [threads.submit(reserve, service_id) for _ in range(12)]
        found = [future.result(timeout=60) for future in futures]
    assert all(held == found[0] for held in found)
    assert len(in_use(runtime)) == 4


def test_an_unknown_pool_is_named(reserve: Reserve) -> None:
    with pytest.raises(InvalidInput) as raised:
        reserve(needs=(ResourceNeed(kind="ipv4", pool="gold4"),))
    assert "gold4" in raised.value.message

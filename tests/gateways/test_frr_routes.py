"""Routes of subscribers as FRR's lines, without a router: any sequence of changes ends in what was wanted."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.contracts.configuration import Change, ElementRefused, Fragment
from turnup.gateways.frr.driver import difference, masked, unmasked
from turnup.gateways.frr.routes import FENCE_KEPT, KIND, NextHops, attributes_of, lines_for, read_router
from turnup.kernel.ids import ServiceId, derived_id

TODAY = date(2026, 7, 1)
HOPS = NextHops("192.0.2.9", "2001:db8::9")


def service(n):
    return ServiceId(derived_id("service", "frr", str(n)))


def change(n, generation, attributes):
    want = None
    if attributes is not None:
        want = Fragment(service_id=service(n), kind=KIND, attributes=attributes, generation=generation)
    return Change(service_id=service(n), kind=KIND, want=want, generation=generation)


def run(config, lines):
    """What the router does with lines, as far as ours go: a description replaces, `no` removes."""
    held = config.splitlines()
    for line in lines:
        if line.startswith("no "):
            gone = line.removeprefix("no ")
            assert gone in held or gone.count(" ") == 2, f"nothing to remove: {line}"
            held = [each for each in held if each != gone and not each.startswith(f"{gone} ")]
        elif " description " in line:
            list_name = line.partition(" description ")[0]
            held = [each for each in held if not each.startswith(f"{list_name} description ")] + [line]
        elif line not in held:
            held.append(line)
    return "\n".join(held)


def shown(config):
    router = read_router(config)
    return {
        key: (held.generation, attributes_of(held, router, HOPS))
        for key, held in router.services.items()
        if held.prefixes
    }


_attributes = st.fixed_dictionaries(
    {},
    optional={
        "ipv4": st.integers(1, 250).map(lambda n: f"198.51.100.{n}"),
        "ipv6_wan": st.integers(1, 250).map(lambda n: f"2001:db8:1:{n:x}::/64"),
        "ipv6_pd": st.integers(1, 250).map(lambda n: f"2001:db8:2:{n:x}00::/56"),
    },
)


@given(st.lists(st.tuples(st.integers(1, 3), st.none() | _attributes), max_size=12))
def test_any_story_of_changes_ends_in_what_was_wanted(story):
    config, wanted = "hostname core1\n", {}
    for generation, (n, attributes) in enumerate(story, 1):
        router = read_router(config)
        try:
            lines = lines_for([change(n, generation, attributes)], router, HOPS, "core1", TODAY)
        except ElementRefused as refused:
            assert "is routed for" in str(refused), "an address that another one holds"
            continue
        config = run(config, lines)
        wanted[str(service(n))] = (generation, attributes) if attributes else None
        again = lines_for([change(n, generation, attributes)], read_router(config), HOPS, "core1", TODAY)
        assert all(" description " in line for line in again), "doing it again says nothing new"
    assert shown(config) == {key: value for key, value in wanted.items() if value}
    assert "hostname core1" in config


def test_a_fence_goes_after_its_time_and_a_living_service_does_not():
    config = run("", lines_for([change(1, 3, None)], read_router(""), HOPS, "core1", TODAY))
    config = run(
        config, lines_for([change(2, 1, {"ipv4": "198.51.100.2"})], read_router(config), HOPS, "c", TODAY)
    )
    later = TODAY + FENCE_KEPT + timedelta(days=1)
    lines = lines_for([change(3, 1, None)], read_router(config), HOPS, "core1", later)
    assert f"no ip prefix-list turnup-{service(1)}" in lines
    assert not any(str(service(2)) in line for line in lines)


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"vlan": "7"}, "attributes.vlan: a router has no vlan"),
        ({"ipv4": "198.51.100.2\nno router bgp 1"}, "is no prefix"),
        ({"ipv4": "2001:db8::1"}, "is of the other family"),
    ],
)
def test_what_a_router_cannot_hold_is_refused(attributes, complaint):
    with pytest.raises(ElementRefused, match=complaint):
        lines_for([change(1, 1, attributes)], read_router(""), HOPS, "core1", TODAY)


def test_a_router_that_is_not_told_where_subscribers_are_says_which_key_is_missing():
    with pytest.raises(ElementRefused, match=r"management\.next_hop6"):
        lines_for(
            [change(1, 1, {"ipv6_pd": "2001:db8::/56"})], read_router(""), NextHops.of("r", {}), "r", TODAY
        )
    with pytest.raises(ElementRefused, match=r"management\.next_hop4"):
        NextHops.of("r", {"next_hop4": "2001:db8::1"})


RUNNING = """frr version 8.4.4
hostname core1
!
password sesame
interface core
 description old
 ip ospf message-digest-key 1 md5 first
 ip ospf message-digest-key 2 md5 second
exit
!
router bgp 65000
 neighbor 192.0.2.1 remote-as 65001
 neighbor 192.0.2.1 password between us
 !
 address-family ipv4 unicast
  network 198.51.100.0/24
 exit-address-family
 !
 address-family ipv6 unicast
  network 2001:db8::/32
 exit-address-family
exit
!
end
"""


def test_a_backup_hides_secrets_and_a_rollback_keeps_them():
    backup = "\n".join(masked(line) for line in RUNNING.splitlines())
    for secret in ("sesame", "first", "second", "between us"):
        assert secret not in backup
    assert unmasked(backup, RUNNING, "core1").splitlines() == RUNNING.splitlines()
    assert difference(RUNNING, unmasked(backup, RUNNING, "core1")) == []
    with pytest.raises(ElementRefused, match="hides a secret"):
        unmasked(backup, RUNNING.replace("password sesame\n", ""), "core1")


def test_a_rollback_goes_into_blocks_and_out_again():
    wanted = RUNNING.replace(" description old\n", " description new\n").replace(
        "  network 198", "  network 203"
    )
    assert difference(RUNNING, wanted) == [
        "interface core",
        " no description old",
        " description new",
        "exit",
        "router bgp 65000",
        " address-family ipv4 unicast",
        "  no network 198.51.100.0/24",
        "  network 203.51.100.0/24",
        " exit",
        "exit",
    ]

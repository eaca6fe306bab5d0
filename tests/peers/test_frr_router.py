"""A real FRR router, managed by vtysh over a real SSH server: routes of subscribers, conflicts, rollback."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from peers.machines import MANAGED, sshd
from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment, StaleGeneration
from turnup.contracts.inventory import ElementView
from turnup.gateways.frr.driver import FrrDriver
from turnup.gateways.transports.ssh import SshPool
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id
from turnup.lab.real.machine import wait_for

_DAEMONS = Path("/usr/lib/frr")
_PORT = 22
HOP4, HOP6 = "10.9.0.2", "fd09::2"


class Router:
    """The driver with its router, and the router's console."""

    def __init__(self, host, access):
        self.host = host
        self.element = ElementView(
            id=ElementId(derived_id("element", "frr1")), code="frr1", role="router",
            site_id=SiteId(derived_id("site", "pop9")), driver="frr", status="in_service",
            management={"host": MANAGED, "next_hop4": HOP4, "next_hop6": HOP6},
        )  # fmt: skip
        self.credentials = Credentials(username="root", **access)
        self.ssh = SshPool()
        self.driver = FrrDriver(self.ssh, SystemClock())

    def apply(self, *changes):
        return self.driver.apply(self.element, self.credentials, changes, deadline_s=20)

    def held(self, *services):
        return dict(self.driver.read(self.element, self.credentials, services or None, deadline_s=20))

    def config(self):
        return self.driver.running_config(self.element, self.credentials, deadline_s=20)

    def restore(self, config):
        self.driver.restore(self.element, self.credentials, config, deadline_s=20)

    def vtysh(self, *lines):
        commands = "\n".join(lines)
        return self.host.console(f"vtysh -N tm-frr -c '{commands}'")

    def kernel(self, family):
        """Prefix -> next hop of what the daemons put there."""
        routes = json.loads(self.host.console(f"ip -j -{family} route show"))
        return {route["dst"]: route["gateway"] for route in routes if "gateway" in route}


@pytest.fixture(scope="module")
def router(host):
    if not (_DAEMONS / "staticd").exists():
        pytest.skip("FRR is not installed: make peers")
    places = [Path("/run/frr/tm-frr"), Path("/etc/frr/tm-frr")]
    try:
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            shutil.chown(place, "frr", "frr")
        (places[1] / "vtysh.conf").touch()
        host.console(
            "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0;"
            "ip link add core type veth peer name far; ip link set core up; ip link set far up;"
            "ip addr add 10.9.0.1/24 dev core; ip addr add fd09::1/64 dev core nodad"
        )
        for daemon in ("zebra -A 127.0.0.1", "staticd -A 127.0.0.1"):
            host.console(f"{_DAEMONS}/{daemon} -N tm-frr -d </dev/null >/dev/null 2>&1")
        shell = host.home / "shell"
        shell.write_text('#!/bin/sh\nexec /usr/bin/vtysh -N tm-frr -c "$SSH_ORIGINAL_COMMAND"\n')
        shell.chmod(0o755)
        made = Router(host, sshd(host, _PORT, f"ForceCommand {shell}"))
        log = host.daemon("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", host.home / "sshd.conf")
        wait_for(lambda: "listening" in log.read_text(), "sshd listens")
        yield made
        made.ssh.close()
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)


def service(n):
    return ServiceId(derived_id("service", "frr", str(n)))


def wanted(n, generation=1, **changed):
    attributes = {
        "ipv4": f"198.51.100.{n}",
        "ipv6_wan": f"2001:db8:1:{n:x}::/64",
        "ipv6_pd": f"2001:db8:2:{n:x}00::/56",
    }
    fragment = Fragment(
        service_id=service(n), kind="route", attributes=attributes | changed, generation=generation
    )
    return Change(service_id=service(n), kind="route", want=fragment, generation=generation)


def gone(n, generation):
    return Change(service_id=service(n), kind="route", want=None, generation=generation)


def test_routes_come_change_and_go_and_the_kernel_has_them(router):
    router.apply(wanted(2), wanted(3))
    assert router.held() == {service(n): wanted(n).want for n in (2, 3)}
    wait_for(lambda: router.kernel(4).get("198.51.100.2") == HOP4, "the kernel routes her address")
    wait_for(lambda: router.kernel(6).get("2001:db8:2:200::/56") == HOP6, "and her prefix")
    assert router.apply(wanted(2)) == (f"ip prefix-list turnup-{service(2)} description generation 1",), (
        "nothing but the fence is left to say"
    )

    router.apply(wanted(2, 2, ipv4="198.51.100.20"))
    assert router.held(service(2)) == {service(2): wanted(2, 2, ipv4="198.51.100.20").want}
    wait_for(lambda: set(router.kernel(4)) == {"198.51.100.20", "198.51.100.3"}, "the old address is gone")

    router.apply(gone(2, 3), gone(3, 2))
    assert router.held() == {}
    wait_for(lambda: not router.kernel(4) and not router.kernel(6), "the kernel routes nothing")
    saved = Path("/etc/frr/tm-frr/staticd.conf").read_text()
    assert "198.51.100" not in saved, "it would start without them, too"


def test_an_older_generation_is_refused_also_after_the_removal(router):
    router.apply(wanted(4, 5))
    with pytest.raises(StaleGeneration):
        router.apply(wanted(4, 4, ipv4="198.51.100.40"))
    router.apply(gone(4, 6))
    with pytest.raises(StaleGeneration):
        router.apply(wanted(4, 5))
    assert router.held() == {}


def test_an_address_of_somebody_else_is_refused_before_anything_is_done(router):
    router.apply(wanted(5))
    before = router.config()
    with pytest.raises(ElementRefused, match=r"198\.51\.100\.5/32 is routed for"):
        router.apply(wanted(6), wanted(7, ipv4="198.51.100.5"))
    assert router.config() == before
    router.apply(gone(5, 2), wanted(8, ipv4="198.51.100.5"))
    assert set(router.held()) == {service(8)}, "whoever leaves in the same breath leaves it free"
    router.apply(gone(8, 2))


def test_what_somebody_changes_by_hand_shows_and_is_repaired(router):
    router.apply(wanted(9))
    router.vtysh(
        "configure terminal",
        f"no ip route 198.51.100.9/32 {HOP4} tag 7152",
        "ipv6 route 2001:db8:2:900::/56 fd09::99",
    )
    found = router.held(service(9))[service(9)].attributes
    assert "ipv4" not in found
    assert found["ipv6_pd"] == f"2001:db8:2:900::/56 via {HOP6}, fd09::99"
    assert found["ipv6_wan"] == "2001:db8:1:9::/64"
    router.apply(wanted(9, 2))
    assert router.held(service(9)) == {service(9): wanted(9, 2).want}
    router.apply(gone(9, 3))


def test_a_backed_up_configuration_comes_back(router):
    router.vtysh("configure terminal", "interface core", "description towards the BNG", "password sesame")
    router.apply(wanted(10))
    backup = router.config()
    assert "password <hidden>" in backup
    router.apply(gone(10, 2))
    router.vtysh(
        "configure terminal", "interface core", "no description", "ip route 203.0.113.0/24 blackhole"
    )
    router.restore(backup)
    assert router.config() == backup
    assert router.held(service(10)) == {service(10): wanted(10).want}
    assert "password sesame" in router.vtysh("show running-config")
    router.vtysh("configure terminal", "no password")
    with pytest.raises(ElementRefused, match="hides a secret"):
        router.restore(backup)
    router.apply(gone(10, 2))


def test_a_line_the_router_refuses_is_told_and_an_absent_one_is_unavailable(router):
    with pytest.raises(ElementRefused, match="is no prefix"):
        router.apply(wanted(11, ipv4="not an address"))
    with pytest.raises(ElementRefused, match="Unknown command"):
        router.restore(router.config() + "frobnicate all\n")
    there = router.element
    router.element = replace(there, management={**there.management, "ssh_port": "2222"})
    with pytest.raises(Unavailable):
        router.held()
    router.element = there

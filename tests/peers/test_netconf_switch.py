"""A real NETCONF server (netconfd behind OpenSSH): ports of subscribers, conflicts, locks, rollback."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ncclient import manager

from peers.machines import MANAGED, sshd
from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment, StaleGeneration
from turnup.contracts.inventory import ElementView
from turnup.gateways.netconf.driver import NetconfDriver
from turnup.gateways.netconf.interfaces import read_ports
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id
from turnup.lab.real.machine import wait_for

_PORT = 830
# netconfd's socket lies in /tmp: the machine gets a /tmp of its own, and its files another place.
_PLACE = "/mnt/peer"
_BOOT = f"""
mount -t tmpfs tmpfs /mnt && cp -r HOME {_PLACE} && mount -t tmpfs tmpfs /tmp
export PATH={_PLACE}:$PATH HOME=/root
netconfd --module=ietf-interfaces --no-startup --superuser=root --port={_PORT} OPTIONS \\
    --log={_PLACE}/netconfd.log </dev/null >/dev/null 2>&1 &
exec /usr/sbin/sshd -D -e -f {_PLACE}/sshd.conf
"""
# netconfd's interface module asks a script for a port's address, which Debian does not package
_ADDRESS = """#!/bin/sh
ip -4 -o addr show dev "$1" | awk '{print $4}'
echo
"""


class Switch:
    """The driver with its switch, and the switch's console."""

    def __init__(self, host, access):
        self.host = host
        self.element = ElementView(
            id=ElementId(derived_id("element", "sw1")), code="sw1", role="access",
            site_id=SiteId(derived_id("site", "pop9")), driver="netconf", status="in_service",
            management={"host": MANAGED},
        )  # fmt: skip
        self.credentials = Credentials(username="root", **access)
        self.driver = NetconfDriver()

    def apply(self, *changes):
        return self.driver.apply(self.element, self.credentials, changes, deadline_s=20)

    def held(self, *services, deadline_s=20):
        found = self.driver.read(self.element, self.credentials, services or None, deadline_s=deadline_s)
        return dict(found)

    def config(self):
        return self.driver.running_config(self.element, self.credentials, deadline_s=20)

    def restore(self, config):
        self.driver.restore(self.element, self.credentials, config, deadline_s=20)

    def open_ports(self):
        """As configured: netconfd keeps the interface model, it does not act on it."""
        return {name for name, port in read_ports(self.config()).items() if port.enabled}

    def session(self):
        """Somebody else's."""
        (self.host.home / "other").write_text(self.credentials.private_key)
        (self.host.home / "other").chmod(0o600)
        return manager.connect_ssh(
            host=MANAGED, port=_PORT, username="root", key_filename=str(self.host.home / "other"),
            hostkey_b64=self.credentials.host_key.split()[1], allow_agent=False, look_for_keys=False,
            timeout=20,
        )  # fmt: skip


@pytest.fixture(scope="module")
def switch(host):
    return start_switch(host, "--target=running")


def start_switch(host, options):
    """netconfd with these options, behind OpenSSH, with three ports; returns when it answers."""
    if shutil.which("netconfd") is None:
        pytest.skip("netconfd is not installed: make peers")
    for n in (1, 2, 3):
        host.console(f"ip link add p{n} type veth peer name q{n}; ip link set p{n} up; ip link set q{n} up")
    access = sshd(host, _PORT, "Subsystem netconf /usr/sbin/netconf-subsystem", place=Path(_PLACE))
    script = host.home / "get-interface-ipv4"
    script.write_text(_ADDRESS)
    script.chmod(0o755)
    boot = host.home / "boot.sh"
    boot.write_text(_BOOT.replace("HOME", str(host.home), 1).replace("OPTIONS", options))
    log = host.daemon("boot", "sh", boot)
    wait_for(lambda: "listening" in log.read_text(), "sshd listens")
    made = Switch(host, access)
    wait_for(lambda: _answers(made), "netconfd answers", timeout_s=30)
    return made


def _answers(switch):
    try:
        switch.held(deadline_s=5)
    except Unavailable:
        time.sleep(0.2)
        return False
    return True


def service(n):
    return ServiceId(derived_id("service", "netconf", str(n)))


def wanted(n, port, generation=1):
    fragment = Fragment(
        service_id=service(n), kind="access_service", attributes={"port": port}, generation=generation
    )
    return Change(service_id=service(n), kind="access_service", want=fragment, generation=generation)


def gone(n, generation):
    return Change(service_id=service(n), kind="access_service", want=None, generation=generation)


def test_ports_come_move_and_go(switch):
    switch.apply(wanted(1, "p1"), wanted(2, "p2"))
    assert switch.held() == {service(1): wanted(1, "p1").want, service(2): wanted(2, "p2").want}
    assert switch.held(service(2)) == {service(2): wanted(2, "p2").want}
    switch.apply(wanted(1, "p3", 2))
    assert switch.held(service(1)) == {service(1): wanted(1, "p3", 2).want}
    assert switch.open_ports() == {"p2", "p3"}, "the port she left is shut"
    switch.apply(gone(1, 3), gone(2, 2))
    assert switch.held() == {}
    assert switch.open_ports() == set()
    switch.apply(wanted(3, "p1"))
    assert switch.open_ports() == {"p1"}
    switch.apply(gone(3, 2))


def test_an_older_generation_is_refused_also_after_the_removal(switch):
    switch.apply(wanted(4, "p1", 5))
    with pytest.raises(StaleGeneration):
        switch.apply(wanted(4, "p2", 4))
    switch.apply(gone(4, 6))
    with pytest.raises(StaleGeneration):
        switch.apply(wanted(4, "p1", 5))
    assert switch.held() == {}


def test_a_port_of_somebody_else_is_refused_before_anything_is_done(switch):
    switch.apply(wanted(5, "p1"))
    before = switch.config()
    with pytest.raises(ElementRefused, match=f"p1 serves {service(5)}"):
        switch.apply(wanted(6, "p2"), wanted(7, "p1"))
    assert switch.config() == before
    switch.apply(gone(5, 2), wanted(7, "p1"))
    assert set(switch.held()) == {service(7)}, "whoever leaves in the same edit leaves it free"
    switch.apply(gone(7, 2))


def test_a_port_shut_by_hand_shows(switch):
    switch.apply(wanted(8, "p2"))
    other = switch.session()
    shut = switch.config().replace(">true<", ">false<")
    interfaces = shut[shut.index("<interfaces") : shut.index("</interfaces>")] + "</interfaces>"
    namespace = 'xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"'
    other.edit_config(target="running", config=f"<config {namespace}>{interfaces}</config>")
    other.close_session()
    assert switch.held(service(8))[service(8)].attributes == {"port": "p2", "admin": "down"}
    switch.apply(wanted(8, "p2", 2))
    assert switch.held(service(8)) == {service(8): wanted(8, "p2", 2).want}
    switch.apply(gone(8, 3))


def test_who_edits_right_now_is_waited_for(switch):
    other = switch.session()
    with other.locked("running"), pytest.raises(Unavailable):
        switch.apply(wanted(9, "p3"))
    other.close_session()
    switch.apply(wanted(9, "p3"))
    switch.apply(gone(9, 2))


def test_a_backed_up_configuration_comes_back(switch):
    switch.apply(wanted(10, "p1"))
    backup = switch.config()
    switch.apply(gone(10, 2), wanted(11, "p2"))
    switch.restore(backup)
    assert switch.config() == backup
    assert switch.held() == {service(10): wanted(10, "p1").want}
    switch.apply(gone(10, 3))


def test_another_host_key_or_a_silent_element_is_told(switch):
    known = switch.credentials
    switch.credentials = replace(known, host_key="ssh-ed25519 " + "A" * 68)
    with pytest.raises((ElementRefused, Unavailable)):
        switch.held()
    switch.credentials = known
    there = switch.element
    switch.element = replace(there, management={"host": MANAGED, "ssh_port": "831"})
    with pytest.raises(Unavailable):
        switch.held()
    switch.element = there

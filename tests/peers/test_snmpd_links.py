"""A real snmpd is polled: a pulled cable is an outage of exactly the services behind it, until it is back."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from builders.house import deliver_events, lay_out, runtime_on
from fakes.network import FakeAccounting, FakeNetwork, FakeServices, element_id, service_id
from peers.machines import MANAGED
from turnup.contracts.monitoring import ServiceOutageEnded, ServiceOutageStarted
from turnup.gateways.snmp.probe import SnmpProbe
from turnup.kernel.clock import SystemClock
from turnup.lab.real.machine import wait_for
from turnup.oss.monitoring.component import SCHEMA, build
from turnup.oss.monitoring.model import Policy
from turnup.runtime.component import Component, Runtime

_COMMUNITY = "peers-only"


class Building(FakeNetwork):
    """A switch on a BNG that is only pinged: services 1, 3 hang on port p1, 2 and 4 on p2, 5 alone on p5."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = {"sw1": "access", "bng1": "bng"}
        self.wires = [("sw1", "up0", "bng1", "xe-0/0/0")]
        self.alone = {("sw1", "p5")}
        self.lines = {
            service_id(n): ("sw1", port)
            for n, port in ((1, "p1"), (3, "p1"), (2, "p2"), (4, "p2"), (5, "p5"))
        }

    def elements(self, role=None):
        managed = {"sw1": {"host": MANAGED, "snmp_port": "161"}, "bng1": {"host": MANAGED}}
        return [replace(each, management=managed[each.code]) for each in super().elements(role)]


@pytest.fixture(scope="module")
def switch(host):
    if shutil.which("snmpd") is None:
        pytest.skip("snmpd is not installed: make peers")
    for port in ("p1", "p2", "p5", "up0"):
        host.console(f"ip link add {port} type veth peer name {port}x")
        host.console(f"ip link set {port} up; ip link set {port}x up")
    conf = host.home / "snmpd.conf"
    conf.write_text(f"rocommunity {_COMMUNITY}\n")
    host.daemon(
        "snmpd", "snmpd", "-f", "-Lo", "-C", "-c", conf, "-p", host.home / "pid", f"udp:{MANAGED}:161"
    )
    return host


@pytest.fixture(scope="session")
def database_template(make_template):
    return make_template("snmpd", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as made:
        yield made


class Watch:
    """Monitoring that polls when told, and the outages it tells of."""

    def __init__(self, runtime):
        self._runtime = runtime
        probe = SnmpProbe(lambda element: _COMMUNITY, SystemClock())
        policy = Policy(accounting_grace_s=3600.0)
        self.monitoring = build(
            runtime, Building(), FakeServices(), FakeAccounting(), probe, policy=policy
        ).service
        self.out = set()
        self._listener = Component(
            name="monitoring",
            service=None,
            handlers={ServiceOutageStarted: self._start, ServiceOutageEnded: self._end},
        )

    def _start(self, unit, event):
        self.out.add(event.service_id)

    def _end(self, unit, event):
        self.out.discard(event.service_id)

    def until(self, out, what):
        """Poll until exactly these services are out."""

        def polled():
            self.monitoring.poll(deadline_s=2.0)
            deliver_events(self._runtime, [self._listener])
            return self.out == {service_id(n) for n in out}

        wait_for(polled, what, timeout_s=30)


@pytest.fixture
def watch(runtime, switch):
    made = Watch(runtime)
    wait_for(lambda: made.monitoring.poll(deadline_s=2.0) == 2 and _knows_ports(made), "snmpd answers")
    return made


def _knows_ports(watch):
    health = {each.element_id: each.reachable for each in watch.monitoring.health()}
    return health.get(element_id("sw1")) is True and health.get(element_id("bng1")) is True


def test_a_pulled_cable_is_an_outage_of_those_behind_it_and_of_no_others(watch, switch):
    watch.until((), "all is well")
    switch.console("ip link set p1x down")
    watch.until((1, 3), "who hangs on p1 is out")
    causes = {problem.cause for problem in watch.monitoring.problems() if problem.service_ids}
    assert causes == {"sw1/p1 is down"}, "the far end of the cable, an interface here too, carries nobody"
    switch.console("ip link set p5x down")
    watch.until((1, 3), "a subscriber who switched her router off is not")
    switch.console("ip link set up0x down")
    watch.until((1, 2, 3, 4, 5), "without the uplink all are")
    switch.console("ip link set up0x up; ip link set p1x up; ip link set p5x up")
    watch.until((), "all is well again")
    assert watch.monitoring.problems() == []


def test_an_element_that_is_only_pinged_and_falls_silent_is_unreachable(watch, switch):
    assert {each.code: each.reachable for each in watch.monitoring.health()} == {"sw1": True, "bng1": True}
    switch.console("ip link set mgmt down")
    try:
        for _ in range(3):
            watch.monitoring.poll(deadline_s=1.0)
        assert {each.code: each.reachable for each in watch.monitoring.health()} == {
            "sw1": False,
            "bng1": False,
        }
    finally:
        switch.console("ip link set mgmt up")
    wait_for(lambda: watch.monitoring.poll(deadline_s=1.0) and _knows_ports(watch), "both are back")

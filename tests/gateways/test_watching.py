"""Monitoring with its real gateways on a live lab: a line comes up, carries traffic, fails and comes back."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from builders.house import deliver_events, lay_out
from builders.lab_network import NOBODY, element_of
from fakes.network import FakeNetwork, FakeServices, service_id
from turnup.contracts.monitoring import (
    ServiceOutageEnded,
    ServiceOutageStarted,
    SessionEnded,
    SessionStarted,
    UsageMeasured,
)
from turnup.gateways.aaa_database.accounting import AaaAccounting, AaaServers
from turnup.gateways.aaa_database.database import aaa_database
from turnup.gateways.snmp.probe import SnmpProbe
from turnup.kernel.clock import SystemClock
from turnup.oss.monitoring.component import SCHEMA, build
from turnup.oss.monitoring.model import Policy
from turnup.runtime.component import Component, Runtime
from turnup.runtime.database import Database
from turnup.runtime.durable import Durable


@pytest.fixture(scope="session")
def database_template(make_template: Callable[[str, Callable[[str], None]], str]) -> str:
    return make_template("watching", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    database = Database(database_url, pool_size=4)
    made = Runtime(database, SystemClock(), SimpleNamespace(public_url=None))
    made.attach(Durable(database, made.clock))
    yield made
    database.close()


class LabNetwork(FakeNetwork):
    """The lab's own elements; service n hangs where the fake says, which is where the test plugs it."""

    def __init__(self, lab):
        super().__init__()
        self._lab = lab
        self.lines = {service_id(1): ("olt1", "pon-0/1/3"), service_id(2): ("olt2", "pon-0/1/3")}

    def elements(self, role=None):
        return [element_of(self._lab, code) for code in self.codes]


class Watch:
    """Monitoring, ticking on demand, and what it said."""

    def __init__(self, lab, runtime, aaa_url, policy):
        self._runtime = runtime
        self.monitoring = build(
            runtime,
            LabNetwork(lab),
            FakeServices(),
            AaaServers(AaaAccounting(aaa_database(aaa_url)), list, lambda _: NOBODY),
            SnmpProbe(lambda _: "lab-public", SystemClock()),
            policy=policy,
        ).service
        self.heard = []
        kinds = (SessionStarted, SessionEnded, UsageMeasured, ServiceOutageStarted, ServiceOutageEnded)
        handlers = {kind: (lambda unit, event: self.heard.append(event)) for kind in kinds}
        self._listener = Component(name="monitoring", service=None, handlers=handlers)

    def tick(self):
        self.monitoring.take_accounting()
        self.monitoring.poll(deadline_s=1.0)
        deliver_events(self._runtime, [self._listener])

    def until(self, lab, check):
        """Tick until `check()` holds."""

        def ticked(_):
            self.tick()
            return check()

        return lab.client.wait_for(ticked, timeout_s=30)

    def of(self, kind, n=1):
        return [each for each in self.heard if isinstance(each, kind) and each.service_id == service_id(n)]


@pytest.fixture
def watch(lab, runtime, aaa_empty):
    return Watch(lab, runtime, aaa_empty, Policy(failures_needed=2, accounting_grace_s=3600.0))


@pytest.fixture
def online(lab, lines, watch):
    lines.provision()
    lines.plug(demand_kbps=50_000)
    lines.until("online")
    watch.until(lab, lambda: watch.of(SessionStarted))
    return watch


def test_traffic_of_a_session_is_measured_and_adds_up(lab, online):
    lab.client.advance_clock(seconds=60)
    lab.client.interim()
    online.until(lab, lambda: online.of(UsageMeasured))
    lab.client.unplug(name="s1")
    online.until(lab, lambda: online.of(SessionEnded))
    session = online.monitoring.session(service_id(1))
    usage = online.of(UsageMeasured)
    assert sum(each.download_octets for each in usage) == session.download_octets > 60 * 40_000_000 / 8
    assert sum(each.upload_octets for each in usage) == session.upload_octets > 0
    assert online.of(SessionEnded)[0].cause == "Lost-Carrier"
    assert online.monitoring.problems() == [], "a lone subscriber's silence is no outage"


def test_a_dead_olt_is_one_problem_and_an_outage_of_its_own_services(lab, online):
    lab.client.power_off(device="olt1")
    online.until(lab, lambda: len(online.monitoring.alarms()) == 2)
    (problem,) = online.monitoring.problems()
    assert (problem.cause, problem.service_ids) == ("olt1 is unreachable", (service_id(1),))
    assert online.of(ServiceOutageStarted, n=2) == []
    lab.client.power_on(device="olt1")
    online.until(lab, lambda: not online.monitoring.problems())
    (started,), (ended,) = online.of(ServiceOutageStarted), online.of(ServiceOutageEnded)
    assert started.at == ended.started_at < ended.at


def test_a_cut_fibre_is_one_problem(lab, online):
    lab.client.cut_link(name="olt1-uplink")
    online.until(lab, lambda: online.of(ServiceOutageStarted))
    (problem,) = online.monitoring.problems()
    assert problem.cause == "the link bng1/xe-0/0/0 - olt1/xe-0/0/0 is down"
    lab.client.restore_link(name="olt1-uplink")
    online.until(lab, lambda: online.of(ServiceOutageEnded))


def test_a_dead_bng_hits_everybody_behind_it(lab, online):
    lab.client.power_off(device="bng1")
    online.until(lab, lambda: online.of(ServiceOutageStarted) and online.of(ServiceOutageStarted, n=2))
    online.until(
        lab, lambda: [each.cause for each in online.monitoring.problems()] == ["bng1 is unreachable"]
    )
    lab.client.power_on(device="bng1")
    online.until(lab, lambda: not online.monitoring.problems())
    online.until(lab, lambda: len(online.of(SessionStarted)) == 2)
    ends = [event.cause for event in online.of(SessionEnded)]
    assert ends in (["NAS-Reboot"], ["Superseded"]), "Accounting-On, or the new session, ended it"


def test_an_unreachable_management_is_no_outage(lab, online):
    lab.client.lie(device="olt1", kind="unreachable", on="any", delay_ms=600_000)
    online.until(lab, lambda: online.monitoring.alarms())
    for _ in range(3):
        lab.client.interim()
        online.tick()
    (problem,) = online.monitoring.problems()
    assert problem.service_ids == () and online.of(ServiceOutageStarted) == []
    assert lab.client.reach(name="s1", to="internet")

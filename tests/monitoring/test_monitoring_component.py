"""Monitoring on a real database: accounting and polls in, sessions, alarms, problems and events out."""

from datetime import timedelta

import pytest

from builders.house import NOON
from fakes.network import FakeAccounting, element_id, service_id
from turnup.contracts.monitoring import (
    ServiceOutageEnded,
    ServiceOutageStarted,
    SessionEnded,
    SessionStarted,
    UsageMeasured,
)
from turnup.oss.monitoring.component import build
from turnup.oss.monitoring.model import Policy
from turnup.runtime.component import Component
from turnup.runtime.events import sequence

MINUTE = timedelta(minutes=1)


@pytest.fixture
def happened(runtime, component):
    """happened(Kind): the events of this kind so far, in their order."""
    heard = []
    kinds = (SessionStarted, SessionEnded, UsageMeasured, ServiceOutageStarted, ServiceOutageEnded)
    listener = Component(
        name="monitoring",
        service=None,
        handlers={kind: (lambda unit, event: heard.append(event)) for kind in kinds},
    )

    def find(kind):
        with runtime.database.engine.begin() as connection:
            sequence(connection)
        runtime.consumer(listener).deliver()
        return [event for event in heard if isinstance(event, kind)]

    return find


@pytest.fixture
def polls(runtime, monitoring):
    """polls(n): n polls, five seconds apart; returns when the first was."""

    def run(count=1):
        first = runtime.clock.now()
        for _ in range(count):
            monitoring.poll(deadline_s=1.0)
            runtime.clock.advance(timedelta(seconds=5))
        return first

    return run


# --- accounting -------------------------------------------------------------------------------------------


def test_a_session_from_start_to_stop(monitoring, accounting, happened):
    accounting.add("start", NOON)
    accounting.add("interim", NOON + MINUTE, time_s=60, up=100, down=1000)
    assert monitoring.take_accounting() == 2
    session = monitoring.session(service_id(1))
    assert (session.ended_at, session.upload_octets, session.download_octets) == (None, 100, 1000)
    accounting.add("stop", NOON + 2 * MINUTE, time_s=120, up=150, down=1500, cause="User-Request")
    assert monitoring.take_accounting() == 1
    assert monitoring.take_accounting() == 0
    session = monitoring.session(service_id(1))
    assert (session.ended_at, session.cause) == (NOON + 2 * MINUTE, "User-Request")
    assert [(e.service_id, e.at) for e in happened(SessionStarted)] == [(service_id(1), NOON)]
    assert [(e.at, e.cause) for e in happened(SessionEnded)] == [(NOON + 2 * MINUTE, "User-Request")]
    assert [
        (event.started_at, event.ended_at, event.upload_octets, event.download_octets)
        for event in happened(UsageMeasured)
    ] == [(NOON, NOON + MINUTE, 100, 1000), (NOON + MINUTE, NOON + 2 * MINUTE, 50, 500)]
    assert monitoring.sessions() == []
    assert len(monitoring.sessions(live_only=False)) == 1


def test_repeats_tell_nothing_new(monitoring, accounting, happened):
    accounting.add("start", NOON)
    accounting.add("interim", NOON + MINUTE, time_s=60, up=100, down=1000)
    monitoring.take_accounting()
    accounting.add("interim", NOON + MINUTE, time_s=60, up=100, down=1000)
    accounting.add("start", NOON)
    monitoring.take_accounting()
    assert len(happened(SessionStarted)) == len(happened(UsageMeasured)) == 1


def test_a_restarted_nas_ends_its_sessions_and_keeps_their_usage(monitoring, accounting, happened):
    accounting.add("start", NOON)
    accounting.add("interim", NOON + MINUTE, time_s=60, up=7)
    accounting.add("start", NOON, n=2, session="b", nas="bng2")
    accounting.add("accounting_on", NOON + 5 * MINUTE, session="boot-2")
    monitoring.take_accounting()
    assert monitoring.session(service_id(1)).ended_at == NOON + MINUTE
    assert monitoring.session(service_id(2)).ended_at is None
    assert [event.upload_octets for event in happened(UsageMeasured)] == [7]


def test_a_new_session_ends_the_one_whose_stop_was_lost(monitoring, accounting):
    accounting.add("start", NOON)
    monitoring.take_accounting()
    accounting.add("start", NOON + MINUTE, session="b")
    monitoring.take_accounting()
    assert [each.session_id for each in monitoring.sessions()] == ["b"]


def test_what_ran_before_its_service_was_known_is_told_once_it_is(monitoring, accounting, services, happened):
    known = services.known.pop("s1@isp")
    accounting.add("start", NOON)
    accounting.add("interim", NOON + MINUTE, time_s=60, up=5)
    monitoring.take_accounting()
    assert monitoring.session(service_id(1)) is None and happened(SessionStarted) == []
    services.known["s1@isp"] = known
    monitoring.take_accounting()
    assert [event.at for event in happened(SessionStarted)] == [NOON]
    assert [event.upload_octets for event in happened(UsageMeasured)] == [5]


def test_more_than_a_batch_is_taken_in_at_once(monitoring, accounting, happened):
    accounting.add("start", NOON)
    for n in range(1, 1201):
        accounting.add("interim", NOON + n * MINUTE, time_s=60 * n, up=n)
    assert monitoring.take_accounting() == 1201
    assert sum(event.upload_octets for event in happened(UsageMeasured)) == 1200


def test_an_aaa_database_that_is_away_loses_nothing(monitoring, accounting):
    accounting.add("start", NOON)
    accounting.away = True
    assert monitoring.take_accounting() == 0
    accounting.away = False
    assert monitoring.take_accounting() == 1


class Pair:
    """contracts.monitoring.AccountingSources: two AAA servers, each with its own records and ids."""

    def __init__(self) -> None:
        self.first, self.second = FakeAccounting(), FakeAccounting()

    def sources(self):
        return {"aaa1": self.first, "aaa2": self.second}


@pytest.fixture
def pair():
    return Pair()


@pytest.fixture
def paired(runtime, network, services, pair, probe):
    return build(runtime, network, services, pair, probe, policy=Policy(accounting_grace_s=30.0)).service


def test_a_session_told_of_to_one_server_and_then_to_the_other_is_one(paired, pair, happened):
    pair.first.add("start", NOON)
    pair.first.add("interim", NOON + MINUTE, time_s=60, up=100, down=1000)
    pair.second.add("interim", NOON + MINUTE, time_s=60, up=100, down=1000)  # the first answer was lost
    pair.second.add("stop", NOON + 2 * MINUTE, time_s=120, up=150, down=1500, cause="User-Request")
    assert paired.take_accounting() == 4
    assert paired.take_accounting() == 0
    assert sum(event.upload_octets + event.download_octets for event in happened(UsageMeasured)) == 1650
    assert [event.at for event in happened(SessionEnded)] == [NOON + 2 * MINUTE]


def test_one_server_that_is_away_does_not_stop_the_other(paired, pair):
    pair.first.away = True
    pair.second.add("start", NOON)
    assert paired.take_accounting() == 1
    assert paired.session(service_id(1)) is not None


def test_silence_proves_nothing_while_a_server_cannot_be_read(paired, pair, probe, runtime, happened):
    pair.second.add("start", NOON)
    paired.take_accounting()
    probe.silent = {"olt1"}
    pair.first.away = True

    def time_passes():
        for _ in range(20):
            runtime.clock.advance(timedelta(seconds=5))
            paired.take_accounting()
            paired.poll(deadline_s=1.0)

    time_passes()
    assert happened(ServiceOutageStarted) == []
    pair.first.away = False
    time_passes()
    assert [event.service_id for event in happened(ServiceOutageStarted)].count(service_id(1)) == 1


# --- faults -----------------------------------------------------------------------------------------------


def test_one_lost_poll_is_no_alarm(monitoring, probe, polls):
    polls()
    probe.silent = {"olt1"}
    polls()
    probe.silent = set()
    polls()
    assert monitoring.alarms(active_only=False) == []
    assert all(each.reachable for each in monitoring.health())


def test_a_dead_olt_is_one_problem_with_its_services(monitoring, probe, polls, happened):
    polls()
    probe.silent, probe.down = {"olt1"}, {("bng1", "xe-0/0/0")}
    failed_at = polls(3)
    (problem,) = monitoring.problems()
    assert problem.cause == "olt1 is unreachable"
    assert problem.service_ids == tuple(sorted([service_id(1), service_id(3)]))
    assert {(alarm.kind, alarm.root_cause_of) for alarm in monitoring.alarms()} == {
        ("element_unreachable", 1),
        ("link_down", 0),
    }
    started = happened(ServiceOutageStarted)
    assert {(event.service_id, event.at) for event in started} == {
        (service_id(1), failed_at),
        (service_id(3), failed_at),
    }
    probe.silent, probe.down = set(), set()
    cleared_at = polls(2)
    assert monitoring.problems() == [] and monitoring.alarms() == []
    assert {(event.started_at, event.at) for event in happened(ServiceOutageEnded)} == {
        (failed_at, cleared_at)
    }
    assert len(happened(ServiceOutageStarted)) == 2
    assert [each.cleared_at for each in monitoring.problems_of(service_id(1))] == [cleared_at]
    assert monitoring.problems_of(service_id(2)) == []


def test_a_cut_fibre_is_one_problem(monitoring, probe, polls):
    polls()
    probe.down = {("bng1", "xe-0/0/1"), ("olt2", "xe-0/0/0")}
    polls()
    (problem,) = monitoring.problems()
    assert problem.cause == "the link bng1/xe-0/0/1 - olt2/xe-0/0/0 is down"
    assert problem.service_ids == tuple(sorted([service_id(2), service_id(4)]))


def test_a_second_uplink_carries_on(monitoring, network, probe, polls):
    network.wires.append(("olt1", "xe-0/0/1", "bng1", "xe-0/0/2"))
    polls()
    probe.down = {("olt1", "xe-0/0/0"), ("bng1", "xe-0/0/0")}
    polls()
    (first,) = monitoring.problems()
    assert first.service_ids == ()
    probe.down |= {("olt1", "xe-0/0/1")}
    polls()
    assert {problem.service_ids for problem in monitoring.problems()} == {
        (),
        tuple(sorted([service_id(1), service_id(3)])),
    }


def test_a_dead_bng_explains_everything_behind_it(monitoring, probe, polls):
    polls()
    probe.silent = {"bng1", "olt2"}
    probe.down = {("olt1", "xe-0/0/0")}
    polls(3)
    (problem,) = monitoring.problems()
    assert problem.cause == "bng1 is unreachable"
    assert service_id(1) in problem.service_ids
    (root,) = [alarm for alarm in monitoring.alarms() if alarm.root_cause_of]
    assert (root.element_id, root.root_cause_of) == (element_id("bng1"), 2)


def test_a_pon_port_fails_its_own_services_only(monitoring, probe, polls):
    polls()
    probe.down = {("olt1", "pon-0/1/3")}
    polls()
    (problem,) = monitoring.problems()
    assert problem.cause == "olt1/pon-0/1/3 is down" and problem.service_ids == (service_id(3),)


def test_a_subscriber_who_switches_her_router_off_has_no_outage(monitoring, network, probe, polls, happened):
    network.alone = {("olt1", "pon-0/1/3"), ("olt2", "xe-0/0/0")}
    polls()
    probe.down = {("olt1", "pon-0/1/3")}
    polls(3)
    assert monitoring.problems() == [] and monitoring.alarms() == []
    assert happened(ServiceOutageStarted) == []
    probe.down = {("olt2", "xe-0/0/0")}
    polls()
    assert [problem.service_ids for problem in monitoring.problems()] == [
        tuple(sorted([service_id(2), service_id(4)]))
    ], "a port of a link is the network's, whatever it is called"


def test_sessions_that_go_on_speaking_are_not_out(monitoring, accounting, probe, polls, runtime, happened):
    """Our way of asking is gone, not the service."""
    for n in (1, 3):
        accounting.add("start", NOON, n=n, session=f"s{n}")
    monitoring.take_accounting()
    polls()
    probe.silent = {"olt1"}
    failed_at = polls(3)
    for n in range(1, 9):
        accounting.add("interim", runtime.clock.now(), session="s1", time_s=60 + n)
        monitoring.take_accounting()
        polls()
    assert runtime.clock.now() > failed_at + timedelta(seconds=40)
    (problem,) = monitoring.problems()
    assert problem.service_ids == (service_id(3),), "s1 was heard of after the failure, s3 was not"
    assert [event.at for event in happened(ServiceOutageStarted)] == [failed_at]


def test_blind_on_both_eyes_claims_no_outage(monitoring, accounting, probe, polls, happened):
    accounting.add("start", NOON)
    monitoring.take_accounting()
    polls()
    probe.silent, accounting.away = {"bng1", "olt1", "olt2"}, True
    for _ in range(20):
        monitoring.take_accounting()
        polls()
    assert len(monitoring.problems()) == 1 and happened(ServiceOutageStarted) == []


def test_a_lone_subscribers_silence_is_no_outage(monitoring, accounting, polls, happened):
    accounting.add("start", NOON)
    accounting.add("stop", NOON + MINUTE, time_s=60, cause="Lost-Carrier")
    monitoring.take_accounting()
    polls(3)
    assert monitoring.problems() == [] and happened(ServiceOutageStarted) == []


def test_a_better_root_keeps_the_problem(monitoring, probe, polls, happened):
    polls()
    probe.silent, probe.down = {"olt1"}, {("bng1", "xe-0/0/0")}
    polls()
    (first,) = monitoring.problems()
    assert first.cause.startswith("the link")
    polls(2)
    (second,) = monitoring.problems()
    assert second.id == first.id and second.cause == "olt1 is unreachable"
    assert len(happened(ServiceOutageStarted)) == 2 and happened(ServiceOutageEnded) == []


def test_a_service_that_dials_in_again_is_back(monitoring, accounting, probe, polls, runtime, happened):
    polls()
    probe.down = {("olt1", "pon-0/1/1")}
    failed_at = polls(2)
    back_at = runtime.clock.now()
    accounting.add("start", back_at)
    monitoring.take_accounting()
    polls()
    assert [(e.started_at, e.at) for e in happened(ServiceOutageEnded)] == [(failed_at, back_at)]
    polls(3)
    assert len(happened(ServiceOutageStarted)) == 1


def test_an_element_taken_out_takes_its_alarms_along(monitoring, network, probe, polls):
    polls()
    probe.silent = {"olt2"}
    polls(3)
    assert len(monitoring.alarms()) == 1
    del network.codes["olt2"]
    polls()
    assert monitoring.alarms() == [] and len(monitoring.health()) == 2


def test_octets_are_kept_packed_by_the_hour(monitoring, runtime, probe, polls):
    for n in range(1, 4):
        probe.octets = n
        polls()
        runtime.clock.advance(timedelta(minutes=30))
    samples = monitoring.octets(element_id("olt1"), "pon-0/1/1", NOON, NOON + timedelta(hours=3))
    assert [(received, sent) for _, received, sent in samples] == [(1, 2), (2, 4), (3, 6)]
    assert samples[0][0] == NOON and samples[1][0] > NOON + timedelta(minutes=30)

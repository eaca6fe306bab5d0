"""Alarms, root causes and outages, as rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fakes.network import element_id, service_id
from turnup.contracts.monitoring import Observation
from turnup.kernel.ids import AlarmId, ProblemId, derived_id
from turnup.oss.monitoring.model import (
    Alarm,
    AlarmKind,
    Cut,
    Node,
    Outage,
    Policy,
    PortState,
    Session,
    Topology,
)
from turnup.oss.monitoring.rules import alarms, causes, outages

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def topology(*links, in_band=()):
    """`topology("olt1:u-bng1:1", ...)`: a link from port u of olt1 to port 1 of bng1."""
    ends = [tuple(tuple(end.split(":")) for end in link.split("-")) for link in links]
    codes = {code for link in ends for code, _ in link}
    nodes = [
        Node(id=element_id(code), code=code, role="bng" if code.startswith("bng") else "access" if
             code.startswith("olt") else "switch", in_band=code in in_band)
        for code in codes
    ]  # fmt: skip
    return Topology(
        nodes={node.id: node for node in nodes},
        links=tuple(tuple((element_id(code), port) for code, port in link) for link in ends),
    )


TREE = topology("olt1:u-bng1:1", "olt2:u-bng1:2")
CHAIN = topology("olt1:u-sw1:1", "olt2:u-sw1:2", "sw1:u-bng1:1")
RING = topology("olt1:a-bng1:1", "olt1:b-bng1:2")


def alarm(what, second=0):
    """`alarm("olt1")` is unreachable, `alarm("olt1:u")` is a port down."""
    code, _, port = what.partition(":")
    return Alarm(
        id=AlarmId(derived_id("alarm", what)),
        element_id=element_id(code),
        port=port or None,
        kind=AlarmKind.LINK_DOWN if port else AlarmKind.UNREACHABLE,
        raised_at=NOON + second * SECOND,
    )


def roots(where, *active):
    """{alarm: its root} in words."""
    made = {alarm(what).id: what for what in active}
    found = causes.explained([alarm(what, second) for second, what in enumerate(active)], where)
    return {made[each.id]: made[each.cause_id] for each in found if each.cause_id is not None}


def test_a_dead_olt_explains_the_far_end_of_its_link():
    assert roots(TREE, "bng1:1", "olt1") == {"bng1:1": "olt1"}


def test_a_cut_link_has_one_root():
    assert roots(TREE, "olt1:u", "bng1:1") == {"olt1:u": "bng1:1"}


def test_a_cut_uplink_explains_an_olt_managed_over_it():
    in_band = topology("olt1:u-bng1:1", "olt2:u-bng1:2", in_band=("olt1", "olt2"))
    assert roots(in_band, "bng1:1", "olt1") == {"olt1": "bng1:1"}
    assert roots(in_band, "bng1:1", "olt2") == {}, "its own uplink is whole"


def test_what_is_reached_only_through_the_dead_is_explained_by_it():
    assert roots(TREE, "olt1", "bng1", "olt2:u") == {"olt1": "bng1", "olt2:u": "bng1"}
    assert roots(CHAIN, "olt1", "sw1", "olt2", "bng1:1") == {"olt1": "sw1", "olt2": "sw1", "bng1:1": "sw1"}
    assert roots(CHAIN, "olt1", "sw1", "bng1") == {"olt1": "bng1", "sw1": "bng1"}


def test_two_dead_olts_are_two_problems():
    assert roots(TREE, "olt1", "olt2") == {}


@given(st.permutations(["olt1", "olt2", "sw1", "bng1", "bng1:1", "sw1:u", "olt1:u"]), st.integers(1, 7))
def test_every_root_is_a_root_whatever_the_order(names, count):
    found = roots(CHAIN, *names[:count])
    assert not set(found.values()) & set(found)
    if "bng1" in names[:count]:
        assert all(found[name] == "bng1" for name in names[:count] if name in ("olt1", "olt2", "sw1"))


def cut_codes(where, *active):
    known = {element_id(node.code): node.code for node in where.nodes.values()}
    made = [alarm(what, second) for second, what in enumerate(active)]
    return {
        (known[cut.element_id], cut.port): (cut.firm, (cut.since - NOON) // SECOND)
        for cut in causes.cuts(causes.explained(made, where), where)
    }


def test_a_link_down_cuts_firmly_and_silence_softly():
    assert cut_codes(TREE, "bng1:2", "olt1") == {("olt2", None): (True, 0), ("olt1", None): (False, 1)}
    assert cut_codes(TREE, "olt1", "bng1:1") == {("olt1", None): (True, 1)}
    assert cut_codes(TREE, "bng1") == {("olt1", None): (False, 0), ("olt2", None): (False, 0)}


def test_a_second_way_out_is_one():
    assert cut_codes(RING, "olt1:a") == {}
    assert cut_codes(RING, "olt1:a", "bng1:1") == {}
    assert cut_codes(RING, "olt1:a", "bng1:2") == {("olt1", None): (True, 1)}


def test_a_subscriber_port_cuts_itself():
    assert cut_codes(TREE, "olt1:pon-0/1/3") == {("olt1", "pon-0/1/3"): (True, 0)}


def test_what_the_document_never_connected_is_not_cut_off_by_others():
    island = topology("olt1:u-bng1:1", "olt9:u-sw9:1")
    assert cut_codes(island, "olt1") == {("olt1", None): (False, 0)}
    assert cut_codes(island, "olt9") == {("olt9", None): (False, 0)}


# --- alarms -----------------------------------------------------------------------------------------------


def seen(second, reachable):
    return Observation(
        element_id=element_id("olt1"), at=NOON + second * SECOND, reachable=reachable, round_trip_ms=None,
        ports={}, octets={},
    )  # fmt: skip


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4))
def test_unreachable_means_so_many_failures_in_a_row_since_the_first(answers, needed):
    health = None
    for second, answer in enumerate(answers):
        health = alarms.health_after(health, seen(second, answer), needed)
    if health is None:
        return
    failed = len(answers) - max((n + 1 for n, answer in enumerate(answers) if answer), default=0)
    assert health.failures == failed
    assert (health.reachable is False) == (failed >= needed)
    if health.reachable is False:
        assert health.since == NOON + (len(answers) - failed) * SECOND


def test_an_unused_port_is_not_broken_and_a_linked_one_is():
    def port(name, was_up):
        return PortState(element_id=element_id("olt1"), port=name, up=False, since=NOON, was_up=was_up)

    wrong = alarms.conditions([], [port("spare", False), port("u", False), port("pon", True)], TREE)
    assert {condition[1] for condition in wrong} == {"u", "pon"}


def test_repeats_are_one_alarm_and_the_end_clears_it():
    condition = {alarm("olt1").condition: NOON}
    numbers = iter(range(10))

    def new():
        return AlarmId(derived_id("alarm", next(numbers)))

    first, _ = alarms.alarms_after((), condition, {element_id("olt1")}, NOON, new)
    again, cleared = alarms.alarms_after(first, condition, {element_id("olt1")}, NOON, new)
    assert [(each.id, each.occurrences) for each in again] == [(first[0].id, 2)] and cleared == ()
    unasked, _ = alarms.alarms_after(again, condition, (), NOON, new)
    assert unasked[0].occurrences == 2
    left, cleared = alarms.alarms_after(again, {}, (), NOON + SECOND, new)
    assert left == () and cleared[0].cleared_at == NOON + SECOND


# --- outages ----------------------------------------------------------------------------------------------

CUT = Cut(element_id=element_id("olt1"), port=None, alarm_id=alarm("olt1").id, since=NOON, firm=False)
LIVE = Session(
    nas="bng1", session_id="a", username="s1@isp", service_id=service_id(1),
    started_at=NOON - timedelta(hours=1), last_seen_at=NOON - SECOND, heard_at=NOON - SECOND,
)  # fmt: skip
POLICY = Policy(accounting_grace_s=30)


def test_accounting_is_the_witness():
    later = NOON + timedelta(seconds=30)
    assert not outages.is_hit(CUT, LIVE, NOON + SECOND, POLICY), "too early to say"
    assert outages.is_hit(CUT, LIVE, later, POLICY), "silent for the grace period"
    assert not outages.is_hit(CUT, LIVE, None, POLICY), "accounting was never read"
    speaks = replace(LIVE, heard_at=NOON + 10 * SECOND)
    firm = replace(CUT, firm=True)
    assert not outages.is_hit(CUT, speaks, later, POLICY)
    assert not outages.is_hit(firm, speaks, later, POLICY)
    assert outages.is_hit(CUT, speaks, NOON + 40 * SECOND, POLICY), "it spoke no more"
    assert outages.is_hit(firm, speaks, NOON + 40 * SECOND, POLICY)
    assert outages.hit_since(CUT, speaks, None) == NOON + 10 * SECOND
    on_its_way = replace(LIVE, heard_at=NOON + 2 * SECOND)
    assert outages.is_hit(firm, on_its_way, later, POLICY)
    ahead = replace(LIVE, last_seen_at=NOON + timedelta(hours=1))
    assert outages.is_hit(firm, ahead, later, POLICY), "the NAS's clock is wrong"
    assert outages.is_hit(replace(CUT, firm=True), LIVE, None, POLICY)
    lost = replace(LIVE, ended_at=NOON - SECOND, cause="Lost-Carrier")
    assert outages.is_hit(CUT, lost, None, POLICY)
    gone_before = replace(LIVE, ended_at=NOON - timedelta(hours=1))
    assert not outages.is_hit(CUT, gone_before, NOON, POLICY) and outages.is_hit(CUT, None, later, POLICY)


def test_an_outage_never_overlaps_the_one_before():
    assert outages.hit_since(CUT, LIVE, None) == NOON
    assert outages.hit_since(CUT, LIVE, NOON - SECOND) == NOON
    ended = replace(LIVE, ended_at=NOON + 20 * SECOND)
    assert outages.hit_since(CUT, ended, NOON + 10 * SECOND) == NOON + 20 * SECOND
    assert outages.hit_since(CUT, None, NOON + 10 * SECOND) == NOON + 10 * SECOND


@given(st.lists(st.dictionaries(st.integers(1, 3), st.sampled_from(["p", "q"]), max_size=3), max_size=12))
def test_outages_of_a_service_are_disjoint_and_end_when_nothing_hits(story):
    """Each step: which services are hit by which problem now, a second apart."""
    open_now, past = [], []
    for second, step in enumerate([*story, {}]):
        now = NOON + second * SECOND
        hits = {service_id(n): (ProblemId(derived_id("problem", name)), now) for n, name in step.items()}
        started, ended = outages.outages_after(open_now, hits, {}, now)
        over = {(each.service_id, each.problem_id) for each in ended}
        open_now = [each for each in open_now if (each.service_id, each.problem_id) not in over] + started
        past += ended
        assert {each.service_id for each in open_now} == set(hits) and len(open_now) == len(hits)
    assert open_now == []
    for n in range(1, 4):
        own = sorted((each for each in past if each.service_id == service_id(n)), key=lambda o: o.started_at)
        assert all(a.ended_at <= b.started_at for a, b in pairwise(own))
        hit_seconds = sum(1 for step in story if n in step)
        assert sum((o.ended_at - o.started_at for o in own), timedelta()) == hit_seconds * SECOND


def test_two_problems_that_are_one_leave_the_older():
    numbers = iter(range(10))

    def new():
        return ProblemId(derived_id("problem", next(numbers)))

    apart = causes.explained([alarm("olt1"), alarm("olt2", 1)], TREE)
    opened, _ = outages.problems_after((), apart, TREE, NOON, new)
    assert len(opened) == 2
    together = causes.explained([alarm("olt1"), alarm("olt2", 1), alarm("bng1", 2)], TREE)
    left, cleared = outages.problems_after(opened, together, TREE, NOON + SECOND, new)
    assert [(each.id, each.cause) for each in left] == [(opened[0].id, "bng1 is unreachable")]
    assert [each.id for each in cleared] == [opened[1].id]


def test_an_outage_that_started_keeps_its_start():
    problem = ProblemId(derived_id("problem", 1))
    running = Outage(service_id=service_id(1), problem_id=problem, started_at=NOON)
    hits = {service_id(1): (problem, NOON + SECOND)}
    assert outages.outages_after([running], hits, {}, NOON + SECOND) == ([], [])

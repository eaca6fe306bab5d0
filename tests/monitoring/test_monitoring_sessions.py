"""Sessions from accounting, as rules: whatever the network does to the packets, usage adds up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from turnup.contracts.monitoring import AccountingRecord, SessionEnded, SessionStarted, UsageMeasured
from turnup.kernel.ids import ServiceId, derived_id
from turnup.oss.monitoring.rules.sessions import Sessions, told

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SERVICE = ServiceId(derived_id("service", 1))


def record(status, second, up=0, down=0, session="a", start=0, **changed):
    """A record of a session that started at `start` seconds after noon."""
    made = AccountingRecord(
        source_id=0, nas="bng1", session_id=session, username="s1@isp", status=status,
        event_at=NOON + timedelta(seconds=second), session_time_s=second - start, input_octets=up,
        output_octets=down, framed_ipv4=None, circuit_id=None,
        cause="User-Request" if status == "stop" else None,
    )  # fmt: skip
    return replace(made, **changed)


@st.composite
def lives(draw, session="a", start=0):
    """All packets of one session: Start, interims with growing counters, Stop."""
    steps = draw(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 10**10), st.integers(0, 10**10)),
                          min_size=1, max_size=8))  # fmt: skip
    packets, second, up, down = [record("start", start, session=session, start=start)], start, 0, 0
    for seconds, more_up, more_down in steps:
        second, up, down = second + seconds, up + more_up, down + more_down
        packets.append(record("interim", second, up, down, session=session, start=start))
    packets[-1] = replace(packets[-1], status="stop", cause="User-Request")
    return packets


def fed(batches, service=SERVICE):
    """All events of feeding these batches, telling after each, and the sessions in the end."""
    known, events = {}, []
    for batch in batches:
        sessions = Sessions(known, NOON)
        for each in batch:
            sessions.absorb(each, service)
        for key, session in sessions.changed.items():
            known[key], news = told(session)
            events += news
    return events, known


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def cut(packets, data):
    """The packets in batches, at places of Hypothesis's choice."""
    places = sorted(data.draw(st.sets(st.integers(0, len(packets)))))
    return [packets[a:b] for a, b in zip([0, *places], [*places, len(packets)], strict=True)]


@given(lives(), st.data())
def test_in_order_everything_is_told_once(packets, data):
    events, _ = fed(cut(packets, data))
    usage = of(UsageMeasured, events)
    last = packets[-1]
    assert sum(each.upload_octets for each in usage) == last.input_octets
    assert sum(each.download_octets for each in usage) == last.output_octets
    assert [each.at for each in of(SessionStarted, events)] == [NOON]
    assert [(each.at, each.cause) for each in of(SessionEnded, events)] == [(last.event_at, "User-Request")]
    assert len({each.key for each in usage}) == len(usage)
    assert all(a.ended_at == b.started_at for a, b in pairwise(usage))


@given(lives(), st.data())
def test_whatever_arrives_in_whatever_order_the_highest_counter_is_billed(packets, data):
    arrived = data.draw(st.lists(st.sampled_from(packets), min_size=1, max_size=20))
    events, known = fed(cut(arrived, data))
    usage = of(UsageMeasured, events)
    assert sum(each.upload_octets for each in usage) == max(each.input_octets for each in arrived)
    assert sum(each.download_octets for each in usage) == max(each.output_octets for each in arrived)
    assert all(each.upload_octets >= 0 and each.download_octets >= 0 for each in usage)
    assert all(each.upload_octets or each.download_octets for each in usage)
    assert len({each.key for each in usage}) == len(usage)
    assert [each.at for each in of(SessionStarted, events)] == [NOON]
    stopped = any(each.status == "stop" for each in arrived)
    assert len(of(SessionEnded, events)) == stopped and known[("bng1", "a")].live is not stopped


@given(lives(), st.data())
def test_feeding_everything_again_tells_nothing(packets, data):
    _, known = fed(cut(packets, data))
    sessions = Sessions(known, NOON)
    for each in data.draw(st.permutations(packets)):
        sessions.absorb(each, SERVICE)
    assert sessions.changed == {}


@given(lives(), st.data())
def test_a_service_known_late_hears_it_all(packets, data):
    _, known = fed(cut(packets, data), service=None)
    (session,) = known.values()
    after, events = told(replace(session, service_id=SERVICE))
    assert sum(each.upload_octets for each in of(UsageMeasured, events)) == packets[-1].input_octets
    assert len(of(SessionStarted, events)) == len(of(SessionEnded, events)) == 1
    assert told(after)[1] == ()


@given(lives(), lives(session="b", start=10_000), st.data())
def test_two_sessions_in_a_row_are_counted_apart(first, second, data):
    arrived = data.draw(st.permutations([*first[:-1], *second[:-1]]))  # both Stops are lost
    events, known = fed(cut(arrived, data))
    assert not known[("bng1", "a")].live and known[("bng1", "a")].cause == "Superseded"
    assert known[("bng1", "b")].live
    usage = of(UsageMeasured, events)
    assert sum(each.upload_octets for each in usage) == first[-2].input_octets + second[-2].input_octets


def test_accounting_on_ends_what_was_before_it_only():
    on = record("accounting_on", 100, session="boot-2", username="")
    _, known = fed(
        [
            [record("start", 0), record("interim", 60, up=5), record("start", 200, session="b", start=200)],
            [on],
        ]
    )
    assert (known[("bng1", "a")].ended_at, known[("bng1", "a")].upload) == (NOON + timedelta(seconds=60), 5)
    assert known[("bng1", "b")].live


def test_a_session_of_the_same_second_as_accounting_on_came_after_it():
    on = record("accounting_on", 100, session="boot-2", username="")
    _, known = fed([[record("start", 0)], [record("start", 100, session="b", start=100), on]])
    assert not known[("bng1", "a")].live and known[("bng1", "b")].live


def test_accounting_off_ends_at_its_own_instant():
    _, known = fed([[record("start", 0)], [record("accounting_off", 100, session="x", username="")]])
    assert known[("bng1", "a")].ended_at == NOON + timedelta(seconds=100)


def test_a_session_believed_over_that_speaks_lives():
    on = record("accounting_on", 100, session="boot-2", username="")
    events, known = fed(
        [[record("start", 0)], [on], [record("interim", 160, up=9)], [record("stop", 200, up=9)]]
    )
    assert known[("bng1", "a")].cause == "User-Request"
    kinds = [type(event) for event in events]
    assert kinds == [SessionStarted, SessionEnded, SessionStarted, UsageMeasured, SessionEnded]


def test_a_stop_names_the_cause_that_was_only_assumed():
    on = record("accounting_on", 100, session="boot-2", username="")
    events, known = fed([[record("start", 0), record("interim", 60)], [on], [record("stop", 60, up=9)]])
    assert known[("bng1", "a")].cause == "User-Request"
    assert len(of(SessionEnded, events)) == 1

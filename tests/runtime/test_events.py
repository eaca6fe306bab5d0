"""The event log: versions, order of commit, exactly once, poison parks its aggregate alone."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.exc import ProgrammingError

from builders.house import deliver_events, lay_out, runtime_on
from turnup.contracts.orders import OrderState, OrderStateChanged
from turnup.kernel.ids import AccountId, OrderId, new_id
from turnup.runtime import events
from turnup.runtime.component import Component, Schema
from turnup.runtime.events import EventPump, Together

orders_metadata = MetaData(schema="orders")
order = Table("seen", orders_metadata, Column("id", UUID(as_uuid=True), primary_key=True))
billing_metadata = MetaData(schema="billing")
heard = Table(
    "heard",
    billing_metadata,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("id", UUID(as_uuid=True)),
    Column("state", Text),
)
SCHEMAS = [Schema(name="orders", metadata=orders_metadata), Schema(name="billing", metadata=billing_metadata)]


@pytest.fixture(scope="session")
def database_template(make_template):
    return make_template("runtime_events", lambda url: lay_out(url, SCHEMAS))


@pytest.fixture
def runtime(database_url):
    with runtime_on(database_url) as made:
        yield made


def changed(order_id, state=OrderState.COMPLETED):
    return OrderStateChanged(
        order_id=OrderId(order_id),
        account_id=AccountId(order_id),
        state=state,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def listener(poison=()):
    def handle(unit, event):
        if event.order_id in poison:
            raise ValueError("cannot digest this")
        unit.connection.execute(insert(heard).values(id=event.order_id, state=event.state.value))

    return Component(name="billing", service=None, handlers={OrderStateChanged: handle})


def heard_by(runtime):
    with runtime.snapshot("billing") as connection:
        return [(row.id, row.state) for row in connection.execute(select(heard).order_by(heard.c.n))]


def test_events_are_stored_with_their_cause_or_not_at_all(runtime):
    lost, kept = new_id(), new_id()
    with pytest.raises(RuntimeError), runtime.unit("orders", "test") as unit:
        unit.connection.execute(insert(order).values(id=lost))
        unit.emit(changed(lost))
        raise RuntimeError("the use case failed")
    with runtime.unit("orders", "test") as unit:
        unit.connection.execute(insert(order).values(id=kept))
        unit.emit(changed(kept))
    assert deliver_events(runtime, [listener()]) == 1
    assert heard_by(runtime) == [(kept, "completed")]


def test_an_aggregate_counts_its_versions_without_gaps(runtime):
    one = new_id()
    for state in (OrderState.ACKNOWLEDGED, OrderState.IN_PROGRESS, OrderState.COMPLETED):
        with runtime.unit("orders", "test") as unit:
            unit.emit(changed(one, state))
            unit.emit(changed(new_id()))
    with runtime.database.engine.connect() as connection:
        versions = connection.execute(
            text("SELECT aggregate_version FROM runtime.event WHERE aggregate_id = :id ORDER BY 1"),
            {"id": one},
        )
        assert [row[0] for row in versions] == [1, 2, 3]


def test_an_event_that_commits_late_is_not_skipped(runtime):
    """Its id was drawn first, its commit came last: position follows the commit."""
    slow, fast = new_id(), new_id()
    drawn, may_commit = threading.Event(), threading.Event()

    def write_slowly():
        with runtime.unit("orders", "slow") as unit:
            unit.emit(changed(slow))
            unit.flush()
            drawn.set()
            may_commit.wait(10)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    assert drawn.wait(10)
    with runtime.unit("orders", "fast") as unit:
        unit.emit(changed(fast))
    assert deliver_events(runtime, [listener()]) == 1
    may_commit.set()
    thread.join()
    assert deliver_events(runtime, [listener()]) == 1
    assert [who for who, _ in heard_by(runtime)] == [fast, slow]


def test_a_poison_event_parks_its_aggregate_alone_and_comes_back(runtime):
    bad, good = new_id(), new_id()
    for who, state in (
        (bad, "acknowledged"),
        (good, "acknowledged"),
        (bad, "completed"),
        (good, "completed"),
    ):
        with runtime.unit("orders", "test") as unit:
            unit.emit(changed(who, OrderState(state)))
    assert deliver_events(runtime, [listener(poison={bad})]) == 2
    assert heard_by(runtime) == [(good, "acknowledged"), (good, "completed")]
    with runtime.database.engine.connect() as connection:
        parked = events.parked(connection)
    assert [row["aggregate_id"] for row in parked] == [bad, bad]
    assert "cannot digest this" in parked[0]["error"]

    # whatever comes later waits behind it, even for a consumer that would digest it now
    with runtime.unit("orders", "test") as unit:
        unit.emit(changed(bad, OrderState.CANCELLED))
    healthy = listener()
    assert deliver_events(runtime, [healthy]) == 0

    consumer = runtime.consumer(healthy)
    assert consumer.retry(bad).handled == 3
    states = [state for who, state in heard_by(runtime) if who == bad]
    assert states == ["acknowledged", "completed", "cancelled"]
    with runtime.database.engine.connect() as connection:
        assert events.parked(connection) == []


def test_a_failed_handler_leaves_no_effect_and_no_event(runtime):
    bad = new_id()

    def half(unit, event):
        unit.connection.execute(insert(heard).values(id=event.order_id, state="half"))
        unit.emit(changed(new_id()))
        raise ValueError("after the effect")

    with runtime.unit("orders", "test") as unit:
        unit.emit(changed(bad))
    deliver_events(runtime, [Component(name="billing", service=None, handlers={OrderStateChanged: half})])
    assert heard_by(runtime) == []
    with runtime.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM runtime.event")) == 1


def test_two_workers_deliver_every_event_once(runtime):
    ids = [new_id() for _ in range(150)]
    for start in range(0, 150, 10):
        with runtime.unit("orders", "test") as unit:
            for one in ids[start : start + 10]:
                unit.emit(changed(one))
    threads = [threading.Thread(target=deliver_events, args=(runtime, [listener()])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliver_events(runtime, [listener()])
    assert [who for who, _ in heard_by(runtime)] == ids


def together(heard_at_once, poison=()):
    """A component that hears state changes together; `heard_at_once`: how many at a time."""

    def handle(unit, events):
        if any(event.order_id in poison for event in events):
            raise ValueError("cannot digest this")
        heard_at_once.append(len(events))
        rows = [{"id": event.order_id, "state": event.state.value} for event in events]
        unit.connection.execute(insert(heard), rows)

    return Component(name="billing", service=None, handlers={OrderStateChanged: Together(handle)})


def test_events_that_follow_one_another_are_handled_together(runtime):
    ids = [new_id() for _ in range(7)]
    with runtime.unit("orders", "test") as unit:
        for one in ids:
            unit.emit(changed(one))
    sizes = []
    assert deliver_events(runtime, [together(sizes)]) == 7
    assert sizes == [7]
    assert [who for who, _ in heard_by(runtime)] == ids


def test_one_poison_event_among_many_handled_together_parks_alone(runtime):
    ids = [new_id() for _ in range(5)]
    with runtime.unit("orders", "test") as unit:
        for one in ids:
            unit.emit(changed(one))
    sizes = []
    assert deliver_events(runtime, [together(sizes, poison={ids[2]})]) == 4
    assert sizes == [1, 1, 1, 1], "one by one, to find it"
    assert [who for who, _ in heard_by(runtime)] == [one for one in ids if one != ids[2]]
    with runtime.unit("orders", "test") as unit:
        unit.emit(changed(ids[2], OrderState.CANCELLED))
        unit.emit(changed(ids[0], OrderState.CANCELLED))
    assert deliver_events(runtime, [together(sizes)]) == 1
    assert sizes[4:] == [1], "what waits behind the poison is not among them"
    assert runtime.consumer(together(sizes)).retry(ids[2]).handled == 2


def test_a_backlog_of_one_consumer_lets_the_others_work(runtime):
    """Somebody's storm must not stand before everybody's mail."""
    with runtime.unit("orders", "test") as unit:
        for _ in range(250):
            unit.emit(changed(new_id()))
    orders_heard = []
    slow = listener()
    other = Component(
        name="orders", service=None, handlers={OrderStateChanged: lambda _, event: orders_heard.append(event)}
    )
    pump = EventPump(runtime.database.engine.begin, [runtime.consumer(slow), runtime.consumer(other)])
    first = pump.turn()
    assert (len(heard_by(runtime)), len(orders_heard)) == (100, 100)
    assert first.more
    assert pump.turn().more
    assert not pump.turn().more
    assert (len(heard_by(runtime)), len(orders_heard)) == (250, 250)


def test_a_unit_cannot_touch_another_schema(runtime):
    with pytest.raises(ProgrammingError, match="permission denied"), runtime.unit("orders", "test") as unit:
        unit.connection.execute(select(heard))


def test_an_attempt_that_fails_takes_back_what_it_wrote_and_said(runtime):
    kept, dropped = new_id(), new_id()
    with runtime.unit("orders", "test") as unit:
        unit.emit(changed(kept))
        with pytest.raises(ValueError, match="no"), unit.attempt():
            unit.connection.execute(insert(order).values(id=dropped))
            unit.emit(changed(dropped))
            raise ValueError("no")
        unit.connection.execute(insert(order).values(id=kept))
    deliver_events(runtime, [listener()])
    assert heard_by(runtime) == [(kept, "completed")]
    with runtime.snapshot("orders") as connection:
        assert [row.id for row in connection.execute(select(order))] == [kept]


def test_gateways_refuse_inside_a_unit(runtime):
    from turnup.runtime.database import OutsideIoInTransaction, refuse_in_transaction

    refuse_in_transaction("outside any unit")
    with pytest.raises(OutsideIoInTransaction, match="ssh"), runtime.unit("orders", "test"):
        refuse_in_transaction("ssh")

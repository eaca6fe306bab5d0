"""The whole rehearsal on the virtual network: sell, back up, go on selling, restore to between, compare,
decide, release; and what would go wrong if the books simply went on from there.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from isp import Isp

from turnup.app.access import access_of
from turnup.app.restoration.backups import take_backup
from turnup.app.restoration.comparison import Kind, compare
from turnup.app.restoration.going_back import restore
from turnup.app.restoration.release import Side, release
from turnup.contracts.orders import ItemAction, NewOrderItem, OrderState
from turnup.contracts.provisioning import Management
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.runtime.auth import Caller
from turnup.runtime.restored import AwaitingRelease

ME = "cli:anna"
WORKFLOWS = "SELECT workflow_uuid, status, recovery_attempts, updated_at FROM dbos.workflow_status"
NEWEST = "SELECT number FROM orders.product_order ORDER BY created_at DESC, number DESC LIMIT 1"


@pytest.fixture(scope="module")
def isp() -> Iterator[Isp]:
    with Isp() as running:
        yield running


def test_the_whole_rehearsal(isp: Isp) -> None:
    isp.start_worker()
    changed, ceased, untouched = isp.sell(), isp.sell(), isp.sell()
    # the backup is taken while an order is under way
    under_way = isp.submit(NewOrderItem(action=ItemAction.ADD, offering="fibre-300-50"))
    take_backup(isp.settings)
    isp.done(under_way)
    waiting = isp.submit(NewOrderItem(action=ItemAction.ADD, offering="fibre-300-50-install"))
    isp.wait(lambda: isp.state(waiting) is OrderState.PENDING, "a technician is awaited")
    isp.pay(500, "before")
    isp.publish_connector("invoices-out")
    isp.settle()
    books, network = isp.books(), isp.on_devices()
    time.sleep(0.2)
    target = SystemClock().now()  # the machine's time is what a restore goes by
    time.sleep(0.2)

    # --- what the restore will lose
    isp.change(changed, "fibre-1000-200")
    isp.cease(ceased)
    sold_later = isp.sell()
    for offering in ("fibre-1000-200", "fibre-300-50"):  # back where it was, two generations on
        isp.change(untouched, offering)
    isp.pay(1000, "after")
    isp.made_files("invoices-out", 7)
    isp.settle()
    later = isp.on_devices()
    highest = isp.rows("SELECT max(number) FROM orders.product_order")[0][0]
    with pytest.raises(Conflict, match=r"supervised by|runs here"):
        restore(isp.settings, target, ME)
    isp.stop()

    with pytest.raises(InvalidInput, match="future"):
        restore(isp.settings, datetime(2999, 1, 1, tzinfo=UTC), ME)
    with pytest.raises(InvalidInput, match="before the first backup"):
        restore(isp.settings, datetime(2020, 1, 1, tzinfo=UTC), ME)
    outcome = restore(isp.settings, target, ME)
    assert outcome.problem is None
    isp.start()

    # --- the books are those of then, closed and frozen; the network is as it was left
    assert isp.books() == books
    assert isp.on_devices() == later
    freeze = isp.house.configuration.everything_frozen()
    assert freeze is not None
    assert freeze.frozen_by == ME
    with pytest.raises(AwaitingRelease), isp.house.runtime.unit("orders", "user:anna"):
        pass
    shell = Caller("anna", frozenset({"*"}), kind="cli")
    with pytest.raises(AwaitingRelease):
        access_of(isp.house).four_eyes.ask(
            "freeze.lift_all", {"freeze": str(freeze.id), "reason": "x"}, shell
        )
    assert isp.house.configuration.everything_frozen() is not None
    pending = isp.rows(
        "SELECT workflow_uuid, status, recovery_attempts, updated_at FROM dbos.workflow_status"
    )
    isp.start_worker()
    time.sleep(4)  # longer than a lease: it would have taken over by now
    assert isp.rows(WORKFLOWS) == pending
    assert isp.books() == books
    assert isp.on_devices() == later

    # --- the comparison lists exactly what is newer
    lost = outcome.restored.lost
    assert lost["known"]
    assert lost["fileNumbers"] == [{"connector": "invoices-out", "from": 1, "to": 7}]
    assert isp.house.files.given_away()["invoices-out"][0] == 7
    assert lost["events"]["billing.PaymentReceived"] == 1
    assert [
        entry["payload"]["amount_minor"]
        for entry in lost["listed"]
        if entry["type"] == "billing.PaymentReceived"
    ] == [1000]
    assert lost["events"]["provisioning.ServiceCeased"] == 1
    found = compare(isp.house, outcome.restored)
    assert found.unreachable == ()
    kinds = {(each.service_id, each.kind) for each in found.found}
    assert kinds == {
        (changed, Kind.DIFFERS),
        (ceased, Kind.BOOKS_ONLY),
        (sold_later, Kind.NETWORK_ONLY),
    }
    assert found.newer == 3, "changed, sold later, and the one that is back where it was"
    assert {f.element for f in found.found if f.service_id == sold_later} >= {"bng1"}
    speeds = [f.detail for f in found.found if f.service_id == changed]
    assert any("1000000" in detail and "300000" in detail for detail in speeds), speeds
    assert {c.element for c in found.configurations}, "running configurations are newer than their copies"

    # --- a person decides
    with pytest.raises(InvalidInput, match="not decided"):
        release(isp.house, ME, "rehearsal", {changed: Side.BOOKS})
    with pytest.raises(InvalidInput, match="reason"):
        release(isp.house, ME, " ", {}, Side.BOOKS)
    done = release(
        isp.house,
        ME,
        "rehearsal",
        {changed: Side.BOOKS, sold_later: Side.BOOKS, ceased: Side.NETWORK},
    )
    assert done.failed == ()
    assert (done.applied, done.observed) == (1, 1)
    assert done.removed >= 2

    # --- repaired as decided, and nothing blocks for ever
    wanted = {line for line in network if str(ceased) not in line}
    try:
        isp.wait(lambda: isp.on_devices() == wanted, "the network is as the books say", patience_s=30)
    except AssertionError:
        assert isp.on_devices() == wanted
    isp.settle()
    service = isp.house.provisioning.service(ceased)
    assert service is not None
    assert service.management is Management.OBSERVED
    assert isp.house.configuration.freezes() == []
    isp.change(changed, "fibre-1000-200")
    isp.change(untouched, "fibre-1000-200")
    (task, *more) = [t for t in isp.house.orders.tasks(waiting) if t.state == "open"]
    for each in (task, *more):
        with isp.house.runtime.unit("orders", "user:anna") as unit:
            isp.house.orders.complete_task(unit, each.id, {"ont_serial": "TRNP00009999"})
    isp.done(waiting)
    assert isp.sell() != sold_later
    newest = isp.rows(
        "SELECT number FROM orders.product_order ORDER BY created_at DESC, number DESC LIMIT 1"
    )[0][0]
    assert int(newest.split("-")[1]) > int(highest.split("-")[1]), "a number that was given away came again"
    isp.settle()
    for element in isp.house.inventory.elements():
        left = [d for d in isp.house.configuration.differences(element.id) if d.service_id != ceased]
        assert left == [], f"{element.code} differs"

"""The brake on PostgreSQL: several workers at once, repeated requests, what people decide."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from provisioning.conftest import ASKED, REQUEST, RESERVATION, asked
from turnup.contracts.inventory import EquipmentIdentified
from turnup.contracts.provisioning import (
    Admission,
    Cause,
    CauseKind,
    ChangeHeld,
    HoldState,
    ServiceRequest,
)
from turnup.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from turnup.kernel.ids import HoldId, ServiceId, derived_id, new_id
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.component import Runtime

Act = Callable[..., Any]
AT = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT = 25


def service_id(n: int) -> ServiceId:
    return ServiceId(derived_id("service", n))


def dunning(n: int) -> Cause:
    return Cause(CauseKind.DUNNING, f"order:{n}", f"dunning {n}")


@pytest.fixture
def running(act: Act, provisioning: Provisioning) -> int:
    """Sixty services that run."""

    def adopt(unit: Any) -> None:
        for n in range(60):
            request: ServiceRequest = replace(REQUEST, service_id=service_id(n), login=f"s{n}")
            provisioning.adopt(unit, request, replace(RESERVATION, service_id=service_id(n)), AT)

    act(adopt)
    return 60


def suspend(act: Act, provisioning: Provisioning, n: int) -> bool:
    """As an order's design step does it: ask, and change only if admitted."""

    def step(unit: Any) -> bool:
        if not provisioning.admit(unit, {service_id(n): Admission.WALLED}, dunning(n)):
            return False
        provisioning.set_admission(unit, service_id(n), Admission.WALLED, dunning(n))
        return True

    return bool(act(step))


def walled(provisioning: Provisioning) -> int:
    return sum(service.admission is Admission.WALLED for service in provisioning.services())


def events(runtime: Runtime, kind: str) -> int:
    counted = text("SELECT count(*) FROM runtime.event WHERE type = :kind")
    with runtime.database.engine.connect() as connection:
        return connection.scalar(counted, {"kind": f"provisioning.{kind}"}) or 0


@pytest.mark.usefixtures("running")
def test_workers_at_once_do_not_count_past_each_other(
    runtime: Runtime, act: Act, provisioning: Provisioning
) -> None:
    with ThreadPoolExecutor(4) as workers:
        went = list(workers.map(lambda n: suspend(act, provisioning, n % 60), range(120)))
    assert walled(provisioning) == LIMIT
    assert sum(went) == 2 * LIMIT, "each request came twice, and got one answer"
    assert len(provisioning.holds()) == 60 - LIMIT
    view = provisioning.brake()
    assert (view.limit, view.used, view.waiting, view.waiting_services) == (LIMIT, LIMIT, 35, 35)
    assert events(runtime, "ChangeWasHeld") == 35


@pytest.mark.usefixtures("running")
def test_an_hour_later_what_waits_still_waits_and_nothing_overtakes(
    runtime: Runtime, act: Act, provisioning: Provisioning
) -> None:
    for n in range(30):
        suspend(act, provisioning, n)
    runtime.clock.advance(timedelta(hours=2))  # type: ignore[attr-defined]
    assert not suspend(act, provisioning, 26)
    assert not suspend(act, provisioning, 40)
    assert [hold.cause.key for hold in provisioning.holds()] == [f"order:{n}" for n in (*range(25, 30), 40)]
    assert act(provisioning.release_holds, None, "checked") == 6
    assert suspend(act, provisioning, 26)
    assert suspend(act, provisioning, 41), "the hour has room again"


@pytest.mark.usefixtures("running")
def test_some_are_released_some_refused(runtime: Runtime, act: Act, provisioning: Provisioning) -> None:
    for n in range(30):
        suspend(act, provisioning, n)
    first, second, *others = [hold.id for hold in provisioning.holds()]
    assert act(provisioning.release_holds, [first], "she agreed") == 1
    assert act(provisioning.release_holds, [first], "she agreed") == 0
    assert act(provisioning.refuse_holds, [second], "wrong policy") == 1
    with pytest.raises(Conflict, match="refused by cli:anna"):
        act(provisioning.release_holds, [second], "after all")
    with pytest.raises(NotFound):
        act(provisioning.release_holds, [HoldId(new_id())], "?")
    with pytest.raises(InvalidInput):
        act(provisioning.refuse_holds, None, " ")
    assert suspend(act, provisioning, 25)
    assert not suspend(act, provisioning, 26)
    assert [hold.id for hold in provisioning.holds()] == others
    assert walled(provisioning) == LIMIT + 1
    decided = [hold for hold in provisioning.holds(open_only=False) if hold.decided_by]
    assert [(h.state, h.decided_by, h.decision_reason) for h in decided] == [
        (HoldState.RELEASED, "cli:anna", "she agreed"),
        (HoldState.REFUSED, "cli:anna", "wrong policy"),
    ]
    with runtime.database.engine.connect() as connection:
        audited = connection.execute(
            text("SELECT action, actor FROM runtime.audit WHERE action LIKE 'brake.%' ORDER BY action")
        ).all()
    assert [tuple(row) for row in audited] == [("brake.refused", "cli:anna"), ("brake.released", "cli:anna")]
    assert events(runtime, "HoldDecided") == 2


@pytest.mark.usefixtures("running")
def test_nobody_without_a_name_releases(runtime: Runtime, act: Act, provisioning: Provisioning) -> None:
    for n in range(26):
        suspend(act, provisioning, n)
    for decide in (provisioning.release_holds, provisioning.refuse_holds):
        with pytest.raises(NotAllowed), runtime.unit("provisioning", "workflow:orders") as unit:
            decide(unit, None, "because")
    assert len(provisioning.holds()) == 1


@pytest.mark.usefixtures("running")
def test_what_was_not_admitted_changes_nothing(act: Act, provisioning: Provisioning) -> None:
    """The gate is inside the change itself: who forgets to ask is refused."""
    for n in range(25):
        act(provisioning.set_admission, service_id(n), Admission.WALLED, dunning(n))
    faster = replace(REQUEST, service_id=service_id(30), login="s30", characteristics={"down_kbps": "200000"})
    bulk = Cause(CauseKind.BULK, "file:1:30", "plan change by file")
    for change in (
        lambda: act(provisioning.set_admission, service_id(25), Admission.WALLED, dunning(25)),
        lambda: act(provisioning.set_admission, service_id(25), Admission.NONE, dunning(26)),
        lambda: act(provisioning.design, faster, replace(RESERVATION, service_id=service_id(30)), bulk),
    ):
        with pytest.raises(ChangeHeld):
            change()
    assert walled(provisioning) == LIMIT
    act(provisioning.set_admission, service_id(25), Admission.WALLED, asked("she wants a pause"))
    act(provisioning.set_admission, service_id(0), Admission.FULL, dunning(0))
    act(provisioning.design, faster, replace(RESERVATION, service_id=service_id(30)), ASKED)
    assert provisioning.brake().used == LIMIT


@pytest.mark.usefixtures("running")
def test_a_request_of_many_services_goes_through_whole_or_not_at_all(
    act: Act, provisioning: Provisioning
) -> None:
    many = dict.fromkeys(map(service_id, range(20)), Admission.NONE)
    assert act(provisioning.admit, many, Cause(CauseKind.BULK, "file:1"))
    rest = dict.fromkeys(map(service_id, range(20, 30)), Admission.NONE)
    assert not act(provisioning.admit, rest, Cause(CauseKind.BULK, "file:2"))
    [hold] = provisioning.holds()
    assert (hold.what, len(hold.service_ids)) == ("cease", 10)
    assert provisioning.brake().used == 20


@pytest.mark.usefixtures("running")
def test_what_is_withdrawn_is_over(act: Act, provisioning: Provisioning) -> None:
    for n in range(26):
        suspend(act, provisioning, n)
    act(provisioning.withdraw, "order:25", "paid")
    act(provisioning.withdraw, "order:25", "paid")
    act(provisioning.withdraw, "order:nobody", "?")
    assert provisioning.holds() == []
    assert not suspend(act, provisioning, 25)
    found = provisioning.hold_of("order:25")
    assert found is not None
    assert (found.state, found.decision_reason) == (HoldState.WITHDRAWN, "paid")


@pytest.mark.usefixtures("running")
def test_repairs_count_and_a_released_one_is_applied(
    runtime: Runtime, act: Act, provisioning: Provisioning
) -> None:
    assert [act(provisioning.admit_repair, service_id(n)) for n in range(27)] == [True] * 25 + [False] * 2
    assert not act(provisioning.admit_repair, service_id(26)), "held once, not twice"
    first, second = provisioning.holds()
    act(provisioning.release_holds, [first.id], "go")
    act(provisioning.refuse_holds, [second.id], "the device is right")
    with runtime.database.engine.connect() as connection:
        started = connection.scalars(text("SELECT workflow_uuid FROM dbos.workflow_status")).all()
    assert started == [f"released:{first.id}"]
    runtime.clock.advance(timedelta(hours=2))  # type: ignore[attr-defined]
    assert not act(provisioning.admit_repair, service_id(26)), "refused until its desired state changes"
    act(provisioning.set_admission, service_id(26), Admission.WALLED, asked("pause"))
    assert not act(provisioning.admit_repair, service_id(26)), "a repair never keeps anybody out"
    act(provisioning.set_admission, service_id(26), Admission.FULL, asked("back"))
    assert act(provisioning.admit_repair, service_id(26))


@pytest.mark.usefixtures("running")
def test_another_ont_on_a_running_service_is_an_automatic_change(
    act: Act, provisioning: Provisioning, happens: Callable[[Any], None]
) -> None:
    def seen(n: int) -> None:
        happens(EquipmentIdentified(service_id=service_id(n), ont_serial=f"TURN9{n:03}", at=AT))

    for n in range(26):
        seen(n)
    seen(25)
    serials = [provisioning.resources(service_id(n))["ont_serial"] for n in range(26)]
    assert serials == [f"TURN9{n:03}" for n in range(25)] + ["TURN1"]
    act(provisioning.release_holds, None, "ONTs were swapped, ticket 7")
    assert provisioning.resources(service_id(25))["ont_serial"] == "TURN9025"


@pytest.mark.usefixtures("running")
def test_what_waits_is_listed_and_counted_however_old_it_is(
    act: Act, provisioning: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnup.oss.provisioning.store.HOLDS_SHOWN", 2)
    for n in range(LIMIT + 5):
        suspend(act, provisioning, n)
    waiting = provisioning.holds()
    act(lambda unit: provisioning.refuse_holds(unit, [hold.id for hold in waiting[1:4]], "no"))
    assert [hold.n for hold in provisioning.holds()] == [waiting[0].n, waiting[4].n]
    assert [hold.n for hold in provisioning.holds(open_only=False)] == [waiting[n].n for n in (0, 3, 4)]
    brake = provisioning.brake()
    assert (brake.waiting, brake.waiting_services, brake.waiting_since) == (2, 2, waiting[0].held_at)

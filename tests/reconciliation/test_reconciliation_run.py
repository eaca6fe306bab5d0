"""Runs against sides that keep state: found once, repaired once, kept as history, nothing reduced."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from reconciliation_world import LONG_AGO, World

from builders.house import client_of
from turnup.contracts.orders import ProductStatus
from turnup.contracts.provisioning import Admission, Management
from turnup.integration.reconciliation.workflows import Reconciler
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.runtime.component import Component, Runtime


def step(runtime: Runtime) -> None:
    runtime.clock.advance(timedelta(hours=1))  # type: ignore[attr-defined]


def kinds(findings: object) -> list[str]:
    return sorted(view.kind for view in findings)  # type: ignore[attr-defined]


def test_a_house_in_agreement_has_no_findings(world: World, reconciler: Reconciler) -> None:
    world.add("ada")
    world.cease(world.add("gone"))
    world.billed.popitem()  # billing has forgotten the dead, which is its right
    report = reconciler.run(repair=True)
    assert (report.checked, report.found, report.repaired, report.unknown, report.in_flight) == (
        1,
        0,
        0,
        0,
        0,
    )
    assert world.repairs == []


def test_drift_is_found_priced_repaired_and_remembered(
    world: World, reconciler: Reconciler, component: Component, runtime: Runtime
) -> None:
    ada, _ = world.add("ada"), world.add("grace")
    world.device["bng1", ada]["down_kbps"] = "1000000"
    report = reconciler.run(repair=True)
    (finding,) = report.findings
    assert (report.checked, report.found, report.repaired) == (2, 1, 1)
    assert report.by_kind == {"drift": 1}
    assert (finding.service_number, finding.monthly_minor, finding.currency) == ("S-ada", -4000, "EUR")
    assert "bng1" in finding.detail
    assert "down_kbps should be 300000 and is 1000000" in finding.detail
    assert finding.repaired_at == runtime.clock.now()
    assert world.device["bng1", ada]["down_kbps"] == "300000"
    step(runtime)
    again = reconciler.run(repair=True)
    assert (again.found, again.repaired) == (0, 0)
    assert world.repairs == [("realise", ada)]
    assert component.service.findings() == []
    assert kinds(component.service.findings(open_only=False)) == ["drift"]


def test_without_repair_nothing_is_touched_and_a_finding_stays_one(
    world: World, reconciler: Reconciler, component: Component, runtime: Runtime
) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    found_at = runtime.clock.now()
    for _ in range(3):
        assert reconciler.run(repair=False).by_kind == {"missing_on_element": 1}
        step(runtime)
    assert world.repairs == []
    (finding,) = component.service.findings(open_only=False)
    assert finding.found_at == found_at
    assert finding.repaired_at is None


def test_what_others_mended_is_closed_and_may_come_back(
    world: World, reconciler: Reconciler, component: Component, runtime: Runtime
) -> None:
    ada = world.add("ada")
    kept = world.device.pop(("olt1", ada))
    reconciler.run(repair=False)
    world.device["olt1", ada] = kept
    step(runtime)
    assert reconciler.run(repair=True).found == 0
    assert component.service.findings() == []
    del world.device["olt1", ada]
    step(runtime)
    assert reconciler.run(repair=False).found == 1
    assert len(component.service.findings(open_only=False)) == 2


def test_an_element_that_is_away_is_unknown_and_closes_nothing(
    world: World, reconciler: Reconciler, component: Component
) -> None:
    ada = world.add("ada")
    world.add("grace")
    del world.device["olt1", ada]
    reconciler.run(repair=False)
    world.away.add("olt1")
    report = reconciler.run(repair=True)
    assert (report.found, report.repaired, report.unknown) == (0, 0, 2)
    assert kinds(component.service.findings()) == ["missing_on_element"]
    assert world.repairs == []


def test_a_repair_that_does_not_work_now_is_left_to_the_durable_one(
    world: World, reconciler: Reconciler, component: Component
) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    world.locked.add("olt1")
    report = reconciler.run(repair=True)
    assert (report.found, report.repaired) == (1, 0)
    assert world.durable_repairs == [ada]
    assert kinds(component.service.findings()) == ["missing_on_element"]


def test_one_realisation_mends_all_elements_of_a_service(world: World, reconciler: Reconciler) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    del world.intents["bng1", ada]
    world.device["aaa1", ada]["down_kbps"] = "1"
    report = reconciler.run(repair=True)
    assert report.by_kind == {"drift": 1, "missing_on_element": 1, "not_intended": 1}
    assert report.repaired == 3
    assert world.repairs == [("realise", ada)]


def test_a_live_service_is_billed_again_from_when_it_was_due(world: World, reconciler: Reconciler) -> None:
    ada = world.add("ada")
    world.billed[ada] = replace(world.billed[ada], billing_active=False)
    report = reconciler.run(repair=True)
    (finding,) = report.findings
    assert (finding.kind, finding.monthly_minor, finding.owner) == ("live_not_billed", 4000, "billing")
    assert report.repaired == 1
    assert world.repairs == [("bill", ada, LONG_AGO)]
    assert reconciler.run(repair=True).found == 0


def test_where_billing_was_stopped_on_purpose_it_goes_on_from_now(
    world: World, reconciler: Reconciler, runtime: Runtime
) -> None:
    ada = world.add("ada")
    world.billed[ada] = replace(world.billed[ada], billing_active=False)
    world.billing_knows_better_until = runtime.clock.now()
    assert reconciler.run(repair=True).repaired == 1
    assert world.repairs == [("bill", ada, LONG_AGO), ("bill", ada, runtime.clock.now())]


def test_the_dead_are_billed_no_more(world: World, reconciler: Reconciler) -> None:
    gone = world.add("gone")
    world.cease(gone)
    report = reconciler.run(repair=True)
    assert [(f.kind, f.monthly_minor) for f in report.findings] == [("billed_not_live", -4000)]
    assert report.repaired == 1
    assert world.repairs == [("stop", gone, LONG_AGO)]


def _suspended_open_by_orders(world: World) -> None:
    ada = world.add("ada")
    world.sold[ada] = replace(world.sold[ada], status=ProductStatus.SUSPENDED)


def _fragment_of_nobody(world: World) -> None:
    gone = world.add("gone")
    kept = dict(world.device["olt1", gone])
    world.cease(gone)
    world.billed[gone] = replace(world.billed[gone], billing_active=False)
    world.device["olt1", gone] = kept


def _observed(world: World) -> None:
    ada = world.add("ada")
    world.desired[ada] = replace(world.desired[ada], management=Management.OBSERVED)
    world.device["bng1", ada]["down_kbps"] = "1"


def _walled_without_order(world: World) -> None:
    ada = world.add("ada")
    world.desired[ada] = replace(world.desired[ada], admission=Admission.WALLED)
    world._render(ada)


@pytest.mark.parametrize(
    ("breaks", "kind"),
    [
        (_suspended_open_by_orders, "suspended_but_open"),
        (_walled_without_order, "open_but_suspended"),
        (_fragment_of_nobody, "configured_not_sold"),
        (_observed, "drift"),
    ],
)
def test_what_needs_a_person_is_left_alone(
    world: World, reconciler: Reconciler, breaks: object, kind: str
) -> None:
    breaks(world)  # type: ignore[operator]
    report = reconciler.run(repair=True)
    assert [f.kind for f in report.findings] == [kind]
    assert not report.findings[0].safe
    assert report.findings[0].repair
    assert report.repaired == 0
    assert world.repairs == []


def test_an_ordered_suspension_that_stands_open_is_shown_and_left_to_a_person(
    world: World, reconciler: Reconciler
) -> None:
    """Automatic repair never suspends, not even again: a named person applies it."""
    ada = world.add("ada")
    world.sold[ada] = replace(world.sold[ada], status=ProductStatus.SUSPENDED)
    world.desired[ada] = replace(world.desired[ada], admission=Admission.WALLED)
    world._render(ada)
    world.device["bng1", ada]["walled"] = "no"
    report = reconciler.run(repair=True)
    assert [(f.kind, f.monthly_minor) for f in report.findings] == [("suspended_but_open", 4000)]
    assert (report.repaired, world.repairs, world.durable_repairs) == (0, [], [])
    assert world.device["bng1", ada]["walled"] == "no"


def test_nothing_of_a_suspended_service_is_repaired_by_itself(world: World, reconciler: Reconciler) -> None:
    """One realisation mends all elements and the live session, so drift elsewhere would wall her as well."""
    ada = world.add("ada")
    world.sold[ada] = replace(world.sold[ada], status=ProductStatus.SUSPENDED)
    world.desired[ada] = replace(world.desired[ada], admission=Admission.WALLED)
    world._render(ada)
    world.device["olt1", ada]["down_kbps"] = "1"
    report = reconciler.run(repair=True)
    assert [f.kind for f in report.findings] == ["drift"]
    assert (report.repaired, world.repairs) == (0, [])


def test_what_the_brake_holds_is_not_repaired_now(world: World, reconciler: Reconciler) -> None:
    ada, bob = world.add("ada"), world.add("bob")
    del world.device["olt1", ada], world.device["olt1", bob]
    world.held = {ada}
    report = reconciler.run(repair=True)
    assert (report.found, report.repaired, world.repairs) == (2, 1, [("realise", bob)])
    assert ("olt1", ada) not in world.device


def test_a_change_that_begins_meanwhile_is_no_finding(world: World, reconciler: Reconciler) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    asked: list[int] = []

    def order_arrives() -> None:
        asked.append(1)
        if len(asked) > 3:  # the first look is over
            world.flying.add(world.sold[ada].id)

    world.on_read = order_arrives
    report = reconciler.run(repair=True)
    assert (report.found, report.in_flight) == (0, 1)
    assert world.repairs == []


def test_a_dismissed_finding_is_silent_until_it_is_gone(
    world: World, reconciler: Reconciler, component: Component, runtime: Runtime
) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    (finding,) = reconciler.run(repair=False).findings
    with pytest.raises(InvalidInput), runtime.unit("reconciliation", "user:ada") as unit:
        component.service.dismiss(unit, finding.id, "  ")
    with runtime.unit("reconciliation", "user:ada") as unit:
        component.service.dismiss(unit, finding.id, "laboratory line")
    assert component.service.findings() == []
    report = reconciler.run(repair=True)
    assert (report.found, report.repaired, world.repairs) == (0, 0, [])
    world._render(ada)
    reconciler.run(repair=True)
    with pytest.raises(NotFound), runtime.unit("reconciliation", "user:ada") as unit:
        component.service.dismiss(unit, finding.id, "too late")
    del world.device["olt1", ada]
    assert reconciler.run(repair=True).repaired == 1


def test_the_standing_comparison_repairs(world: World, component: Component) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    (tick,) = component.ticks
    assert (tick.every_s, tick.where) == (3600.0, "worker")
    tick.run()
    assert ("olt1", ada) in world.device


def test_over_http(world: World, component: Component, runtime: Runtime) -> None:
    ada = world.add("ada")
    del world.device["olt1", ada]
    client = client_of(runtime, [component], scopes=["reconciliation:read", "reconciliation:write"])
    report = client.post("/turnup/v1/reconciliation/runs", json={"repair": False}).json()
    assert (report["checked"], report["found"], report["repaired"]) == (1, 1, 0)
    (finding,) = client.get("/turnup/v1/reconciliation/findings").json()
    assert (finding["kind"], finding["service"], finding["monthlyMinor"]) == (
        "missing_on_element",
        "S-ada",
        -4000,
    )
    assert datetime.fromisoformat(finding["foundAt"]) == runtime.clock.now()
    mended = client.post("/turnup/v1/reconciliation/runs", json={"repair": True}).json()
    assert mended["repaired"] == 1
    assert client.get("/turnup/v1/reconciliation/findings").json() == []
    (kept,) = client.get("/turnup/v1/reconciliation/findings", params={"all": True}).json()
    assert kept["repairedAt"] is not None
    reader = client_of(runtime, [component], scopes=["reconciliation:read"])
    assert reader.post("/turnup/v1/reconciliation/runs", json={}).status_code == 403
    gone = client.post(f"/turnup/v1/reconciliation/findings/{kept['id']}/dismiss", json={"reason": "x"})
    assert gone.status_code == 404


def test_one_finding_is_mended_by_hand(
    world: World, reconciler: Reconciler, component: Component, runtime: Runtime
) -> None:
    ada, grace = world.add("ada"), world.add("grace")
    for service in (ada, grace):
        del world.device["olt1", service]
    found = {view.service_id: view for view in reconciler.run(repair=False).findings}
    client = client_of(runtime, [component], scopes=["reconciliation:write"])
    repair = f"/turnup/v1/reconciliation/findings/{found[ada].id}/repair"
    assert client.post(repair).json() == {"state": "repaired"}
    assert ("olt1", ada) in world.device and ("olt1", grace) not in world.device, (
        "the other one is left alone"
    )
    assert client.post(repair).status_code == 404, "it is mended already"
    assert world.repairs == [("realise", ada)]


def test_what_is_gone_or_a_persons_is_not_mended_by_hand(world: World, reconciler: Reconciler) -> None:
    ada = world.add("ada")
    kept = world.device.pop(("olt1", ada))
    (finding,) = reconciler.run(repair=False).findings
    world.device["olt1", ada] = kept
    with pytest.raises(Conflict, match="not there any more"):
        reconciler.repair(finding.id, "staff:anna")
    world.cease(ada)
    world.device["olt1", ada] = kept
    unsafe = [view for view in reconciler.run(repair=False).findings if not view.safe]
    for view in unsafe:
        with pytest.raises(InvalidInput, match="a person's"):
            reconciler.repair(view.id, "staff:anna")
    assert unsafe and world.repairs == []

"""A freeze: nothing is written from the moment it has returned, by no way; reads go on."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from builders.house import client_of
from configuration.conftest import OLT, Element, fragment, service
from turnup.contracts.configuration import FreezeScope, Frozen
from turnup.kernel.errors import InvalidInput, NotAllowed, NotFound
from turnup.kernel.ids import FreezeId, new_id
from turnup.oss.configuration.service import Configuration
from turnup.oss.configuration.workflows import ApplyPath
from turnup.runtime.component import Component, Runtime

SCOPES = [(FreezeScope.ALL, None), (FreezeScope.SITE, "pop1"), (FreezeScope.ELEMENT, "olt1")]


@pytest.fixture
def freeze(runtime: Runtime, configuration: Configuration) -> Callable[..., FreezeId]:
    def frozen(scope: FreezeScope = FreezeScope.ALL, code: str | None = None) -> FreezeId:
        with runtime.unit("configuration", "cli:anna") as unit:
            return configuration.freeze(unit, scope, code, "storm in pop1")

    return frozen


@pytest.fixture
def lift(runtime: Runtime, configuration: Configuration) -> Callable[[FreezeId], None]:
    def lifted(freeze_id: FreezeId) -> None:
        with runtime.unit("configuration", "token:noc") as unit:
            configuration.lift(unit, freeze_id, "over")

    return lifted


def applied(path: ApplyPath, n: int) -> Any:
    return path.apply(OLT.id, [service(n)], deadline_s=5)[service(n)]


@pytest.mark.parametrize(("scope", "code"), SCOPES)
def test_nothing_is_written_and_after_the_lift_once(
    path: ApplyPath, element: Element, intend: Any, freeze: Any, lift: Any, scope: FreezeScope, code: str
) -> None:
    freeze_id = freeze(scope, code)
    assert path.settle(freeze_id, deadline_s=5) == []
    intend(fragment(1))
    refused = applied(path, 1)
    assert (refused.frozen, refused.transient, refused.verified, refused.changed) == (
        True,
        False,
        False,
        False,
    )
    assert "frozen" in refused.error
    assert "cli:anna, storm in pop1" in refused.error
    assert element.transactions == []
    lift(freeze_id)
    assert (applied(path, 1).verified, applied(path, 1).changed) == (True, False)
    assert element.transactions == [[service(1)]]


def test_calls_that_came_together_are_not_tried_one_by_one(
    path: ApplyPath, element: Element, intend: Any, freeze: Any
) -> None:
    freeze()
    intend(fragment(1), fragment(2))
    outcomes = path.apply(OLT.id, [service(1), service(2)], deadline_s=5)
    assert all(outcome.frozen for outcome in outcomes.values())
    assert element.transactions == []


@pytest.mark.parametrize(("scope", "code"), [(FreezeScope.SITE, "pop2")])
def test_a_freeze_elsewhere_stops_nothing_here(
    path: ApplyPath, intend: Any, freeze: Any, scope: FreezeScope, code: str
) -> None:
    freeze(scope, code)
    intend(fragment(1))
    assert applied(path, 1).verified


def test_reads_go_on(
    path: ApplyPath, configuration: Configuration, element: Element, intend: Any, freeze: Any
) -> None:
    intend(fragment(1))
    applied(path, 1)
    freeze()
    assert set(configuration.actual(OLT.id)) == {service(1)}
    assert configuration.differences(OLT.id) == []
    assert applied(path, 1).verified, "what is there already may be proved"
    assert path.backup(OLT.id, "test").revision == 1


def test_neither_rollback_nor_a_live_session_is_written_to(
    path: ApplyPath, element: Element, intend: Any, freeze: Any, lift: Any
) -> None:
    path.backup(OLT.id, "empty")
    intend(fragment(1))
    applied(path, 1)
    freeze_id = freeze()
    with pytest.raises(Frozen):
        path.rollback(OLT.id, 1)
    with pytest.raises(Frozen), path.writing(OLT.id, deadline_s=1):
        raise AssertionError("CoA would be sent here")
    assert set(element.holds) == {service(1)}
    lift(freeze_id)
    with path.writing(OLT.id, deadline_s=1):
        pass
    assert path.rollback(OLT.id, 1).verified


def test_once_freeze_has_returned_no_write_starts(
    runtime: Runtime, path: ApplyPath, element: Element, intend: Any, freeze: Any
) -> None:
    """Writers run all the time; what they start is seen by the element itself."""
    element.slow_s = 0.02
    numbers: Iterator[int] = iter(range(1, 10_000))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            n = next(numbers)
            intend(fragment(n))
            applied(path, n)

    with ThreadPoolExecutor(3) as writers:
        running = [writers.submit(write) for _ in range(3)]
        while len(element.started) < 5:
            time.sleep(0.01)
        assert path.settle(freeze(), deadline_s=10) == []
        frozen_at = time.monotonic()
        time.sleep(0.3)
        stop.set()
        for each in running:
            each.result()
    assert [start for start in element.started if start > frozen_at] == []


def test_an_element_that_is_stuck_in_a_write_is_named(
    path: ApplyPath, element: Element, intend: Any, freeze: Any
) -> None:
    intend(fragment(1))
    element.slow_s = 1.0
    with ThreadPoolExecutor(1) as writer:
        running = writer.submit(applied, path, 1)
        while not element.at_work:
            time.sleep(0.01)
        freeze_id = freeze()
        assert path.settle(freeze_id, deadline_s=0.1) == ["olt1"]
        assert path.settle(freeze_id, deadline_s=10) == []
        assert running.result().verified


def test_who_and_why_are_kept(runtime: Runtime, configuration: Configuration, freeze: Any, lift: Any) -> None:
    freeze_id = freeze(FreezeScope.ELEMENT, "olt1")
    assert freeze(FreezeScope.ELEMENT, "olt1") == freeze_id
    lift(freeze_id)
    lift(freeze_id)
    assert configuration.freezes() == []
    [view] = configuration.freezes(active_only=False)
    assert (view.code, view.reason, view.frozen_by, view.lifted_by, view.lift_reason) == (
        "olt1", "storm in pop1", "cli:anna", "token:noc", "over",
    )  # fmt: skip
    assert freeze(FreezeScope.ELEMENT, "olt1") != freeze_id
    with runtime.database.engine.connect() as connection:
        audited = connection.execute(text("SELECT action, actor FROM runtime.audit")).all()
        told = connection.scalars(text("SELECT type FROM runtime.event ORDER BY event_id")).all()
    freezing = [tuple(row) for row in audited if "credentials" not in row.action]
    assert freezing == [
        ("configuration.frozen", "cli:anna"),
        ("configuration.freeze_lifted", "token:noc"),
        ("configuration.frozen", "cli:anna"),
    ]
    assert [kind.partition(".")[2] for kind in told] == ["NetworkFrozen", "FreezeLifted", "NetworkFrozen"]


def test_a_freeze_needs_a_name_a_reason_and_something_to_freeze(
    runtime: Runtime, configuration: Configuration
) -> None:
    wrong: list[tuple[str, FreezeScope, str | None, str, type[Exception]]] = [
        ("workflow:x", FreezeScope.ALL, None, "r", NotAllowed),
        ("cli:anna", FreezeScope.ALL, None, " ", InvalidInput),
        ("cli:anna", FreezeScope.ELEMENT, "olt9", "r", NotFound),
        ("cli:anna", FreezeScope.SITE, "pop9", "r", NotFound),
        ("cli:anna", FreezeScope.ALL, "olt1", "r", InvalidInput),
        ("cli:anna", FreezeScope.ELEMENT, None, "r", InvalidInput),
        ("cli:anna", FreezeScope.SITE, "", "r", InvalidInput),
    ]
    for actor, scope, code, reason, error in wrong:
        with pytest.raises(error), runtime.unit("configuration", actor) as unit:
            configuration.freeze(unit, scope, code, reason)
    with pytest.raises(NotFound), runtime.unit("configuration", "cli:anna") as unit:
        configuration.lift(unit, FreezeId(new_id()), "r")


def test_by_http(runtime: Runtime, built: tuple[Component, ApplyPath]) -> None:
    http = client_of(runtime, [built[0]], scopes=["freezes:write"])
    made = http.post("/turnup/v1/freezes", json={"scope": "site", "code": "pop1", "reason": "fire"})
    assert made.status_code == 201
    assert made.json()["frozenBy"].startswith("token:test freezes:write")
    assert made.json()["stillWriting"] == []
    [listed] = http.get("/turnup/v1/freezes").json()
    assert listed["id"] == made.json()["id"]
    lifted = http.post(f"/turnup/v1/freezes/{listed['id']}/lift", json={"reason": "out"})
    assert lifted.json() == {"state": "lifted"}
    assert http.get("/turnup/v1/freezes").json() == []
    [former] = http.get("/turnup/v1/freezes", params={"all": True}).json()
    assert former["liftReason"] == "out"
    reader = client_of(runtime, [built[0]], scopes=["freezes:read"])
    assert reader.post("/turnup/v1/freezes", json={"scope": "all", "reason": "x"}).status_code == 403

"""Use cases of provisioning on PostgreSQL, with the exact events and workflow starts they cause."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from provisioning.conftest import ASKED, REQUEST, RESERVATION, SERVICE, SPEC, asked, proof, without_serial
from turnup.contracts.inventory import EquipmentIdentified
from turnup.contracts.monitoring import SessionEnded, SessionStarted
from turnup.contracts.provisioning import Admission, Management, ServiceState
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import ProductId, ServiceId, new_id
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.component import Runtime

Act = Callable[..., Any]
AT = datetime(2026, 3, 2, 11, tzinfo=UTC)


def events(runtime: Runtime) -> list[str]:
    with runtime.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT type FROM runtime.event ORDER BY event_id"))
        return [row[0].removeprefix("provisioning.") for row in rows]


def started(runtime: Runtime) -> list[str]:
    with runtime.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT workflow_uuid FROM dbos.workflow_status ORDER BY 1"))
        return [row[0] for row in rows]


def present(provisioning: Provisioning) -> Any:
    found = provisioning.designed(SERVICE.id)
    assert found is not None
    return found


def test_a_design_is_raised_only_by_change(act: Act, provisioning: Provisioning, runtime: Runtime) -> None:
    assert act(provisioning.design, REQUEST, RESERVATION, ASKED) == 1
    assert act(provisioning.design, REQUEST, RESERVATION, ASKED) == 1
    first = present(provisioning)
    assert (first.number, first.login, first.state) == ("S-100001", "s-100001", ServiceState.RESERVED)
    assert first.secret_sealed.startswith(f"sealed for {SERVICE.id}")
    faster = replace(REQUEST, characteristics={"down_kbps": "300000"})
    assert act(provisioning.design, faster, RESERVATION, ASKED) == 2
    assert act(provisioning.design, faster, RESERVATION, ASKED) == 2
    second = present(provisioning)
    assert (second.number, second.login, second.secret_sealed) == (
        first.number,
        first.login,
        first.secret_sealed,
    )
    assert events(runtime) == []


def test_a_design_that_cannot_be_rendered_fails_before_the_network(
    act: Act, provisioning: Provisioning
) -> None:
    with pytest.raises(InvalidInput, match="down_kbps"):
        act(provisioning.design, replace(REQUEST, characteristics={}), RESERVATION, ASKED)
    assert provisioning.designed(SERVICE.id) is None


def test_a_life(act: Act, provisioning: Provisioning, runtime: Runtime, happens: Act) -> None:
    act(provisioning.design, REQUEST, RESERVATION, ASKED)
    act(provisioning.record_realised, proof(1))
    act(provisioning.record_realised, proof(1))
    session = {"service_id": SERVICE.id, "nas": "bng1", "session_id": "a"}
    happens(SessionStarted(**session, at=AT))
    happens(SessionStarted(**session, at=AT))
    view = provisioning.service(SERVICE.id)
    assert view is not None
    assert (view.state, view.facts.online, view.facts.online_changed_at) == (ServiceState.ACCEPTED, True, AT)
    assert act(provisioning.set_admission, SERVICE.id, Admission.WALLED, asked("dunning 1")) == 2
    assert act(provisioning.set_admission, SERVICE.id, Admission.WALLED, asked("dunning 1")) == 2
    assert present(provisioning).state is ServiceState.ACCEPTED  # decided is not proved
    act(provisioning.record_realised, proof(1))
    assert present(provisioning).state is ServiceState.ACCEPTED
    act(provisioning.record_realised, proof(2))
    act(provisioning.set_admission, SERVICE.id, Admission.FULL, asked("paid"))
    act(provisioning.record_realised, proof(3, speeds_kbps=(100_000, 20_000)))
    assert present(provisioning).facts.speeds_kbps == (100_000, 20_000)
    happens(SessionEnded(**session, at=AT, cause="User-Request"))
    assert present(provisioning).facts.speeds_kbps is None
    act(provisioning.set_admission, SERVICE.id, Admission.NONE, asked("moved out"))
    act(provisioning.record_realised, proof(4))
    assert events(runtime) == [
        "ServiceConfigured",
        "ServiceFirstOnline",
        "ServiceAccepted",
        "ServiceSuspended",
        "ServiceResumed",
        "ServiceCeased",
    ]
    for use_case in (
        lambda: act(provisioning.design, REQUEST, RESERVATION, ASKED),
        lambda: act(provisioning.set_admission, SERVICE.id, Admission.FULL, asked("back")),
    ):
        with pytest.raises(Conflict, match="has ceased"):
            use_case()


def test_equipment_that_comes_late_goes_to_the_network_once(
    act: Act, provisioning: Provisioning, runtime: Runtime, happens: Act
) -> None:
    act(provisioning.design, REQUEST, without_serial(), ASKED)
    act(provisioning.record_realised, proof(1))
    assert present(provisioning).state is ServiceState.AWAITING_EQUIPMENT
    found = EquipmentIdentified(service_id=SERVICE.id, ont_serial="TURN9", at=AT)
    happens(found)
    happens(found)
    service = present(provisioning)
    assert (service.resources["ont_serial"], service.generation, service.state) == (
        "TURN9",
        2,
        ServiceState.CONFIGURED,
    )
    assert started(runtime) == [f"equipment:{SERVICE.id}:2"]


def test_somebody_accepts(act: Act, provisioning: Provisioning, runtime: Runtime) -> None:
    manual = replace(REQUEST, spec=replace(SPEC, acceptance="manual"))
    act(provisioning.design, manual, RESERVATION, ASKED)
    with pytest.raises(Conflict, match="not configured yet"):
        act(provisioning.accept, SERVICE.id, AT)
    act(provisioning.record_realised, proof(1))
    act(provisioning.accept, SERVICE.id, AT)
    act(provisioning.accept, SERVICE.id, AT.replace(hour=12))
    assert (present(provisioning).accepted_at, present(provisioning).state) == (AT, ServiceState.ACCEPTED)
    assert events(runtime) == ["ServiceConfigured", "ServiceAccepted"]


@pytest.mark.parametrize(
    ("admission", "state"),
    [(Admission.FULL, ServiceState.ACCEPTED), (Admission.WALLED, ServiceState.SUSPENDED)],
)
def test_a_running_service_is_taken_over_in_silence(
    act: Act, provisioning: Provisioning, runtime: Runtime, admission: Admission, state: ServiceState
) -> None:
    adopted = replace(
        REQUEST, management=Management.ADOPTED, admission=admission, login="roe", secret="old-secret"
    )
    for _ in range(2):
        act(provisioning.adopt, adopted, RESERVATION, AT)
    service = present(provisioning)
    assert (service.state, service.accepted_at, service.verified_generation) == (state, AT, 1)
    assert service.secret_sealed.endswith(str(len("old-secret")))
    assert provisioning.service_by_login("roe") == provisioning.service(SERVICE.id)
    assert provisioning.service_by_number("S-100001") == provisioning.service(SERVICE.id)
    assert (events(runtime), started(runtime)) == ([], [])


def test_an_observed_service_is_not_touched(act: Act, provisioning: Provisioning) -> None:
    act(provisioning.adopt, replace(REQUEST, management=Management.OBSERVED), RESERVATION, AT)
    with pytest.raises(Conflict, match="only observed"):
        act(provisioning.set_admission, SERVICE.id, Admission.WALLED, asked("dunning"))


def test_a_repair_starts_once_per_key(act: Act, provisioning: Provisioning, runtime: Runtime) -> None:
    for key in ("a", "a", "b"):
        act(provisioning.repair, SERVICE.id, key)
    assert started(runtime) == [f"repair:{SERVICE.id}:a", f"repair:{SERVICE.id}:b"]


def test_strangers(act: Act, provisioning: Provisioning, happens: Act) -> None:
    nobody = ServiceId(new_id())
    for use_case in (
        lambda: act(provisioning.accept, nobody, AT),
        lambda: act(provisioning.set_admission, nobody, Admission.FULL, asked("")),
        lambda: act(provisioning.record_realised, replace(proof(1), service_id=nobody)),
    ):
        with pytest.raises(NotFound):
            use_case()
    happens(SessionStarted(service_id=nobody, nas="bng1", session_id="x", at=AT))
    assert provisioning.services() == []


def test_a_storm_told_at_once_is_what_it_is_told_one_by_one(
    act: Act, provisioning: Provisioning, runtime: Runtime
) -> None:
    """Everybody behind a BNG comes, uses, goes and comes again; strangers and repeats among them."""
    alone, crowd = ([ServiceId(new_id()) for _ in range(3)] for _ in range(2))
    for service_id in (*alone, *crowd):
        request = replace(REQUEST, service_id=service_id, product_id=ProductId(new_id()))
        act(provisioning.design, request, replace(RESERVATION, service_id=service_id), ASKED)
        act(provisioning.record_realised, proof(1, service_id=service_id))
    deeds = ("sessions_started", "traffic_seen", "sessions_ended", "sessions_started") * 5
    story = [
        (what, [((7 * n + m) % 4, AT + timedelta(seconds=(37 * n + 411 * m) % 900)) for m in range(5)])
        for n, what in enumerate(deeds)
    ]
    stranger = ServiceId(new_id())
    for what, batch in story:
        for n, at in batch:
            act(getattr(provisioning, what), [([*alone, stranger][n], at)])
        act(getattr(provisioning, what), [([*crowd, stranger][n], at) for n, at in batch])
    for one, other in zip(alone, crowd, strict=True):
        first, second = provisioning.service(one), provisioning.service(other)
        assert first is not None and second is not None
        assert (first.facts, first.state) == (second.facts, second.state)
        assert first.state is ServiceState.ACCEPTED
    assert sorted(events(runtime)) == sorted(
        6 * ["ServiceConfigured", "ServiceFirstOnline", "ServiceAccepted"]
    )

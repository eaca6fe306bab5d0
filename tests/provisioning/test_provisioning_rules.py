"""Pure rules of provisioning: what elements should hold, and what follows from a proof."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from provisioning.conftest import SERVICE, SPEC, proof, without_serial
from turnup.contracts.catalog import RfsSpec
from turnup.contracts.provisioning import Admission, Management, ServiceState
from turnup.kernel.errors import InvalidInput
from turnup.oss.provisioning import rules
from turnup.oss.provisioning.model import Service

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
NO_ONT = replace(SERVICE, resources=without_serial().resources)


def test_every_role_gets_its_fragment() -> None:
    found = rules.fragments(SERVICE)
    assert {role: (fragment.kind, fragment.generation) for role, fragment in found.items()} == {
        "access": ("access_service", 1),
        "bng": ("subscriber", 1),
        "aaa": ("aaa_subscriber", 1),
    }
    assert found["access"].attributes == {"port": "pon-0/1/3", "vlan": "1203", "ont_serial": "TURN1"}
    assert found["bng"].attributes == {
        "username": "s-1",
        "ipv4": "192.0.2.7",
        "down_kbps": "100000",
        "walled": "no",
    }
    assert found["aaa"].attributes == {
        "username": "s-1",
        "ipv4": "192.0.2.7",
        "down_kbps": "100000",
        "up_kbps": "20000",
        "state": "active",
        "secret": "sealed",
    }


def test_a_walled_and_an_ended_service() -> None:
    walled = rules.fragments(replace(SERVICE, admission=Admission.WALLED))
    assert (walled["bng"].attributes["walled"], walled["aaa"].attributes["state"]) == ("yes", "walled")
    assert walled["access"] == rules.fragments(SERVICE)["access"]
    assert rules.fragments(replace(SERVICE, admission=Admission.NONE)) == {}


def test_the_line_is_ready_before_its_equipment() -> None:
    assert rules.awaits_equipment(NO_ONT)
    assert rules.fragments(NO_ONT)["access"].attributes == {"port": "pon-0/1/3", "vlan": "1203"}
    wireless = replace(SPEC, rfs=SPEC.rfs[1:])
    assert not rules.awaits_equipment(replace(NO_ONT, spec=wireless))


@pytest.mark.parametrize("source", ["char:speed", "somewhere:else", "nonsense"])
def test_a_source_that_leads_nowhere_is_named(source: str) -> None:
    rfs = RfsSpec(name="bng", element_role="bng", attributes={"speed": source})
    with pytest.raises(InvalidInput) as raised:
        rules.fragments(replace(SERVICE, spec=replace(SPEC, rfs=(rfs,))))
    assert raised.value.field == "service.internet.rfs.bng.attributes.speed"
    assert raised.value.remedy


CONFIGURED = replace(SERVICE, state=ServiceState.CONFIGURED, configured_at=BEFORE, verified_generation=1)
LIVE = replace(CONFIGURED, state=ServiceState.ACCEPTED, first_online_at=BEFORE, accepted_at=BEFORE)
CHANGED = replace(LIVE, generation=2)
WALLED = replace(CHANGED, admission=Admission.WALLED, reason="dunning 1")
SUSPENDED = replace(WALLED, state=ServiceState.SUSPENDED, verified_generation=2)
RESUMING = replace(SUSPENDED, admission=Admission.FULL, generation=3)
ENDING = replace(LIVE, admission=Admission.NONE, generation=2)
ONLINE = replace(CONFIGURED, state=ServiceState.ONLINE, first_online_at=BEFORE, generation=2)

TABLE = [
    # service, what was proved, the state after, the events
    ("new", SERVICE, proof(1), "configured", ["ServiceConfigured"]),
    ("new, no ONT yet", NO_ONT, proof(1), "configured_awaiting_equipment", ["ServiceConfigured"]),
    ("proved again", LIVE, proof(1), "accepted", []),
    ("plan change", CHANGED, proof(2), "accepted", ["ServiceChanged"]),
    ("plan change, not accepted yet", ONLINE, proof(2), "online", ["ServiceChanged"]),
    ("walled garden", WALLED, proof(2), "suspended", ["ServiceSuspended"]),
    ("walled again", replace(SUSPENDED, generation=3), proof(3), "suspended", []),
    ("resumed", RESUMING, proof(3), "accepted", ["ServiceResumed"]),
    ("ended", ENDING, proof(2), "ceased", ["ServiceCeased"]),
    ("never configured, ended", replace(ENDING, configured_at=None), proof(2), "ceased", ["ServiceCeased"]),
]


@pytest.mark.parametrize(
    ("service", "proved", "state", "events"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_what_follows_from_a_proof(service: Service, proved: Any, state: str, events: list[str]) -> None:
    after, happened = rules.after_realised(service, proved, NOON)
    assert (after.state.value, [type(event).__name__ for event in happened]) == (state, events)
    assert after.verified_generation == after.generation
    assert after.facts.configuration_read_at == NOON
    assert after.facts.configuration_present is (service.admission is not Admission.NONE)
    for event in happened:
        assert (event.service_id, event.product_id, event.at) == (service.id, service.product_id, NOON)


@pytest.mark.parametrize("service", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
@pytest.mark.parametrize("defect", ["failed", "outdated", "ahead"])
def test_no_proof_moves_nothing(service: Service, defect: str) -> None:
    proved = {
        "failed": proof(service.generation, ok=False),
        "outdated": proof(service.generation - 1),
        "ahead": proof(service.generation + 1),
    }[defect]
    assert rules.after_realised(service, proved, NOON) == (service, ())


def test_the_first_configuration_says_whether_equipment_is_missing() -> None:
    [event] = rules.after_realised(NO_ONT, proof(1), NOON)[1]
    assert (event.first, event.awaiting_equipment, event.generation) == (True, True, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("acceptance", "state", "events"),
    [
        ("on_first_online", "accepted", ["ServiceFirstOnline", "ServiceAccepted"]),
        ("manual", "online", ["ServiceFirstOnline"]),
    ],
)
def test_the_first_session(acceptance: str, state: str, events: list[str]) -> None:
    service = replace(CONFIGURED, spec=replace(SPEC, acceptance=acceptance))
    after, happened = rules.after_online(service, NOON)
    assert (after.state.value, [type(event).__name__ for event in happened]) == (state, events)
    assert (after.first_online_at, after.facts.online) == (NOON, True)
    again, nothing = rules.after_online(after, NOON.replace(hour=13))
    assert (nothing, again.first_online_at, again.facts.online_changed_at) == (
        (),
        NOON,
        NOON.replace(hour=13),
    )


def test_a_session_does_not_lift_a_suspension_and_an_observed_service_makes_no_events() -> None:
    suspended = replace(SUSPENDED, first_online_at=None, accepted_at=None)
    assert rules.after_online(suspended, NOON)[0].state is ServiceState.SUSPENDED
    observed = replace(CONFIGURED, management=Management.OBSERVED)
    after, happened = rules.after_online(observed, NOON)
    assert (happened, after.facts.online) == ((), True)

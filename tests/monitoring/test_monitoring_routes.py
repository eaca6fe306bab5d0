"""TMF642 and TMF656: what monitoring found, as integrators read it."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from builders.house import NOON, client_of
from builders.tmf_schema import complaints
from turnup.kernel.ids import AlarmId, ElementId, ProblemId, ServiceId, new_id
from turnup.oss.monitoring import store
from turnup.oss.monitoring.model import Alarm, AlarmKind, Outage, Problem
from turnup.runtime.component import Component, Runtime

ALARMS = "/tmf-api/alarmManagement/v5/alarm"
PROBLEMS = "/tmf-api/serviceProblemManagement/v5/serviceProblem"
OLT, SWITCH = ElementId(new_id()), ElementId(new_id())


@pytest.fixture
def client(runtime: Runtime, component: Component) -> TestClient:
    return client_of(runtime, [component], scopes=["monitoring:read"])


@pytest.fixture
def faults(runtime: Runtime) -> list[Alarm]:
    """A dead switch that explains a dark port, and a link that came back."""
    root = Alarm(
        id=AlarmId(new_id()), element_id=SWITCH, port=None, kind=AlarmKind.UNREACHABLE, raised_at=NOON
    )
    behind = Alarm(
        id=AlarmId(new_id()),
        element_id=OLT,
        port="uplink",
        kind=AlarmKind.LINK_DOWN,
        raised_at=NOON + timedelta(seconds=5),
        cause_id=root.id,
        occurrences=3,
    )
    over = Alarm(
        id=AlarmId(new_id()),
        element_id=OLT,
        port="pon-0/1",
        kind=AlarmKind.LINK_DOWN,
        raised_at=NOON - timedelta(days=1),
        cleared_at=NOON - timedelta(hours=23),
    )
    problem = Problem(id=ProblemId(new_id()), alarm_id=root.id, cause="switch down", opened_at=root.raised_at)
    outage = Outage(service_id=ServiceId(new_id()), problem_id=problem.id, started_at=NOON)
    with runtime.unit("monitoring", "test") as unit:
        store.save_alarms(unit.connection, [root, behind, over])
        store.save_problems(unit.connection, [problem])
        store.save_outages(unit.connection, [outage])
    return [root, behind, over]


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()]


def test_alarms_newest_first_and_as_the_specification_says(client: TestClient, faults: list[Alarm]) -> None:
    root, behind, over = (str(alarm.id) for alarm in faults)
    listed = client.get(ALARMS)
    assert ids(listed) == [behind, root, over]
    assert [complaints("TMF642-5", "Alarm", each) for each in listed.json()] == [[], [], []]
    shown = {each["id"]: each for each in listed.json()}
    assert (shown[root]["isRootCause"], shown[behind]["parentAlarm"][0]["id"]) == (True, root)
    assert shown[over]["state"] == "cleared"
    one = client.get(f"{ALARMS}/{behind}")
    assert one.json() == shown[behind]
    assert client.get(f"{ALARMS}/{behind}", headers={"If-None-Match": one.headers["ETag"]}).status_code == 304
    assert client.get(f"{ALARMS}/{new_id()}").status_code == 404


def test_alarms_are_narrowed_sorted_and_paged_by_the_database(
    client: TestClient, faults: list[Alarm]
) -> None:
    root, behind, over = (str(alarm.id) for alarm in faults)
    for parameters, found in (
        ({"state": "raised"}, [behind, root]),
        ({"state.ne": "raised"}, [over]),
        ({"perceivedSeverity": "critical,minor"}, [root]),
        ({"alarmRaisedTime.gte": "2026-03-02T12:00:00Z"}, [behind, root]),
        ({"alarmedObject.id": str(OLT), "sort": "alarmRaisedTime"}, [over, behind]),
        ({"parentAlarm.id": root}, [behind]),
        ({"isRootCause": "true"}, [root]),
        ({"sort": "perceivedSeverity,-alarmRaisedTime"}, [root, behind, over]),
    ):
        assert ids(client.get(ALARMS, params=parameters)) == found, parameters
    url, seen = f"{ALARMS}?limit=1&sort=alarmRaisedTime", []
    while url:
        page = client.get(url)
        seen += ids(page)
        url = page.links.get("next", {}).get("url", "")
    assert seen == [over, root, behind]
    other = client.get(f"{ALARMS}?limit=1").links["next"]["url"]
    stolen = client.get(other.replace("limit=1", "limit=1&sort=perceivedSeverity"))
    assert (stolen.status_code, stolen.json()["field"]) == (400, "cursor")


def test_problems(client: TestClient, faults: list[Alarm]) -> None:
    (problem,) = client.get(PROBLEMS).json()
    assert complaints("TMF656-5", "ServiceProblem", problem) == []
    assert (problem["status"], problem["affectedNumberOfServices"]) == ("inProgress", 1)
    assert client.get(problem["href"]).json() == problem
    service = problem["affectedService"][0]["id"]
    assert ids(client.get(PROBLEMS, params={"affectedService.id": service})) == [problem["id"]]
    assert ids(client.get(PROBLEMS, params={"status": "resolved"})) == []
    assert ids(client.get(PROBLEMS, params={"affectedNumberOfServices.gte": "2"})) == []
    assert client.post(PROBLEMS, json={}).status_code == 405

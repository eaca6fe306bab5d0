"""HTTP shapes of monitoring, reading only: TMF642 alarms, TMF656 problems. What the network shows raises and
clears them."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from turnup.contracts.monitoring import AlarmView, ProblemView
from turnup.kernel.clock import iso_utc
from turnup.kernel.ids import AlarmId, ProblemId
from turnup.oss.monitoring.service import Monitoring
from turnup.runtime import tmf
from turnup.runtime.component import Runtime

_PROBABLE_CAUSES = {"element_unreachable": "communicationsSubsystemFailure", "link_down": "lossOfSignal"}
"""ITU-T X.733, 8.1.2.2; what it has no word for is `indeterminate`, and `specificProblem` says it."""

_ID = tmf.Attribute(tmf.Kind.ID, "id", sortable=True)


def routers(monitoring: Monitoring, runtime: Runtime) -> Sequence[APIRouter]:
    def alarms(query: tmf.Query) -> tmf.Page:
        return query.read(monitoring.alarm_rows, _alarm)

    def alarm(identity: str) -> dict[str, Any] | None:
        view = monitoring.alarm(AlarmId(tmf.uuid_of(identity)))
        return None if view is None else _alarm(view)

    def problems(query: tmf.Query) -> tmf.Page:
        return query.read(monitoring.problem_rows, _problem)

    def problem(identity: str) -> dict[str, Any] | None:
        view = monitoring.problem(ProblemId(tmf.uuid_of(identity)))
        return None if view is None else _problem(view)

    resources = [
        tmf.Resource(
            api="TMF642",
            name="alarm",
            type_name="Alarm",
            component="monitoring",
            scope="monitoring",
            logged="alarm_id",
            list=alarms,
            get=alarm,
            order="-alarmRaisedTime,-id",
            attributes={
                "id": _ID,
                "state": tmf.Attribute(column="state"),
                "perceivedSeverity": tmf.Attribute(column="severity", sortable=True),
                "specificProblem": tmf.Attribute(column="kind", sortable=True),
                "alarmedObject.id": tmf.Attribute(tmf.Kind.ID, "element"),
                "alarmRaisedTime": tmf.Attribute(tmf.Kind.INSTANT, "raised_at", sortable=True),
                "alarmClearedTime": tmf.Attribute(tmf.Kind.INSTANT, "cleared_at"),
                "parentAlarm.id": tmf.Attribute(tmf.Kind.ID, "cause"),
                "isRootCause": tmf.Attribute(tmf.Kind.BOOLEAN),
            },
        ),
        tmf.Resource(
            api="TMF656",
            name="serviceProblem",
            type_name="ServiceProblem",
            component="monitoring",
            scope="monitoring",
            logged="problem_id",
            list=problems,
            get=problem,
            order="-creationDate,-id",
            attributes={
                "id": _ID,
                "status": tmf.Attribute(column="status"),
                "creationDate": tmf.Attribute(tmf.Kind.INSTANT, "opened_at", sortable=True),
                "resolutionDate": tmf.Attribute(tmf.Kind.INSTANT, "cleared_at"),
                "underlyingAlarm.id": tmf.Attribute(tmf.Kind.ID, "alarm"),
                "affectedService.id": tmf.Attribute(tmf.Kind.ID),
                "affectedNumberOfServices": tmf.Attribute(tmf.Kind.NUMBER),
            },
        ),
    ]
    return [tmf.router(resources, runtime)]


def _alarm(view: AlarmView) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(view.id),
        "state": "raised" if view.cleared_at is None else "cleared",
        "alarmType": "communicationsAlarm",
        "perceivedSeverity": view.severity,
        "probableCause": _PROBABLE_CAUSES.get(view.kind, "indeterminate"),
        "specificProblem": view.kind,
        "alarmedObjectType": "Resource" if view.port is None else "Port",
        "alarmedObject": {
            "@type": "AlarmedObjectRef",
            "@referredType": "PhysicalResource",
            "id": str(view.element_id),
            "href": f"{tmf.base_path('TMF639')}/resource/{view.element_id}",
        },
        "alarmDetails": _details(view),
        "alarmRaisedTime": iso_utc(view.raised_at),
        "isRootCause": view.explained_by is None and view.root_cause_of > 0,
    }
    if view.cleared_at is not None:
        body["alarmClearedTime"] = iso_utc(view.cleared_at)
    if view.explained_by is not None:
        body["parentAlarm"] = [{"@type": "AlarmRef", "id": str(view.explained_by)}]
    return body


def _details(view: AlarmView) -> str:
    reported = f"reported {view.occurrences} times"
    return reported if view.port is None else f"port {view.port}, {reported}"


def _problem(view: ProblemView) -> dict[str, Any]:
    changed = view.cleared_at or view.opened_at
    body: dict[str, Any] = {
        "id": str(view.id),
        "name": view.cause,
        "category": "supplier.network",
        "description": view.cause,
        "reason": view.cause,
        "status": "inProgress" if view.cleared_at is None else "resolved",
        "statusChangeDate": iso_utc(changed),
        "lastUpdate": iso_utc(changed),
        "creationDate": iso_utc(view.opened_at),
        "originatingSystem": "Turnup",
        "affectedNumberOfServices": len(view.service_ids),
        "affectedService": [{"@type": "ServiceRef", "id": str(each)} for each in view.service_ids],
        "underlyingAlarm": [{"@type": "ResourceAlarmRef", "id": str(view.alarm_id)}],
    }
    if view.cleared_at is not None:
        body["resolutionDate"] = iso_utc(view.cleared_at)
    return body

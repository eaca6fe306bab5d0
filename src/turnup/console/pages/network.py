"""The network at a glance: problems and whom they hit, alarms, elements, freezes, the brake; live."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from turnup.console.desk import Desk
from turnup.console.pages import safety
from turnup.console.pages.search import state_of
from turnup.console.pulse import Pulse
from turnup.console.rendering import show
from turnup.console.visibility import not_here
from turnup.contracts.monitoring import AlarmView, ElementHealth
from turnup.kernel.ids import ProblemId
from turnup.runtime.auth import Caller, authorise

_ALARMS_SHOWN = 100
_HOLDS_SHOWN = 50
_SERVICES_SHOWN = 500
_SCOPE = "resources:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    code: str
    role: str
    health: ElementHealth | None

    @property
    def state(self) -> str:
        reachable = self.health.reachable if self.health else None
        return {True: "reachable", False: "unreachable", None: "not asked yet"}[reachable]


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console/noc", include_in_schema=False)
    pulse = Pulse(lambda: _fingerprint(desk))

    @routes.get("")
    def network(request: Request, done: str = "") -> Response:
        caller = authorise(request, _SCOPE)
        flash = safety.DONE.get(done, "")
        return show(request, "network.html", caller=caller, flash=flash, **_facts(desk, caller))

    @routes.get("/live")
    def live(request: Request) -> Response:
        """The part of the page that changes."""
        caller = authorise(request, _SCOPE)
        return show(request, "network_live.html", caller=caller, **_facts(desk, caller))

    @routes.get("/stream")
    def stream(request: Request) -> Response:
        """Says when to look again."""
        authorise(request, _SCOPE)
        beats = pulse.events(request, lambda: authorise(request, _SCOPE))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(beats, media_type="text/event-stream", headers=headers)

    @routes.get("/problems/{problem_id}")
    def problem(request: Request, problem_id: UUID) -> Response:
        """A problem and whom it hits."""
        caller = authorise(request, _SCOPE)
        found = desk.watch.problem(ProblemId(problem_id))
        if found is None:
            raise not_here("problem", str(problem_id))
        ids = found.service_ids[:_SERVICES_SHOWN]
        services = desk.services.services(ids) if caller.may("services:read") else ()
        owners = desk.customers.customers([each.customer_id for each in services])
        rows = [(each, state_of(each), owners.get(each.customer_id)) for each in services]
        names = caller.may("crm:read")
        return show(request, "problem.html", caller=caller, problem=found, rows=rows, names=names)

    safety.add(routes, desk)
    return routes


def _facts(desk: Desk, caller: Caller) -> dict[str, Any]:
    elements = {each.id: each for each in desk.network.elements()}
    health = {each.element_id: each for each in desk.watch.health()}
    alarms = desk.watch.alarms()
    shown = [
        Element(code=each.code, role=each.role, health=health.get(each.id))
        for each in elements.values()
        if each.status == "in_service"
    ]
    holds = desk.services.holds() if caller.may("brake:read") else None
    return {
        "problems": desk.watch.problems(),
        "alarms": sorted(alarms, key=_weight)[:_ALARMS_SHOWN],
        "alarm_count": len(alarms),
        "codes": {each.id: each.code for each in elements.values()},
        "elements": sorted(shown, key=lambda each: (each.state != "unreachable", each.code)),
        "freezes": desk.configuration.freezes() if caller.may("freezes:read") else None,
        "brake": desk.services.brake() if caller.may("brake:read") else None,
        "holds": holds[:_HOLDS_SHOWN] if holds is not None else None,
        "hold_count": len(holds) if holds is not None else 0,
        "at": desk.runtime.clock.now(),
    }


def _weight(alarm: AlarmView) -> tuple[int, float]:
    """What explains most comes first, then the newest."""
    return -alarm.root_cause_of, -alarm.raised_at.timestamp()


def _fingerprint(desk: Desk) -> object:
    """What a reader would see change; not the round trips, which always do."""
    return (
        [(each.id, each.occurrences, each.root_cause_of) for each in desk.watch.alarms()],
        [(each.id, each.service_ids) for each in desk.watch.problems()],
        [(each.element_id, each.reachable) for each in desk.watch.health()],
        [each.id for each in desk.configuration.freezes()],
        [each.id for each in desk.services.holds()],
    )

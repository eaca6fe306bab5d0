"""HTTP shapes of provisioning: TMF638 services with their three facts; acceptance and the brake native."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from turnup.contracts.provisioning import (
    RELEASE_HOLDS,
    HoldView,
    Management,
    ManagementMove,
    ServiceState,
    ServiceView,
)
from turnup.kernel.clock import iso_utc
from turnup.kernel.ids import HoldId, ServiceId
from turnup.oss.provisioning.service import Provisioning
from turnup.oss.provisioning.workflows import Takeover
from turnup.runtime import tmf
from turnup.runtime.access.four_eyes import guarded
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Arguments, Dangerous
from turnup.runtime.unit_of_work import UnitOfWork

_STATES = {
    ServiceState.RESERVED: "reserved",
    ServiceState.AWAITING_EQUIPMENT: "inactive",
    ServiceState.CONFIGURED: "inactive",
    ServiceState.ONLINE: "active",
    ServiceState.ACCEPTED: "active",
    ServiceState.SUSPENDED: "suspended",
    ServiceState.CEASED: "terminated",
}


def _stored_states() -> dict[str, list[str]]:
    """The states that one of TMF638 stands for."""
    stored: dict[str, list[str]] = {}
    for own, tmf638 in _STATES.items():
        stored.setdefault(tmf638, []).append(own.value)
    return stored


def routers(provisioning: Provisioning, runtime: Runtime) -> Sequence[APIRouter]:
    def get(service_id: str) -> dict[str, Any] | None:
        view = provisioning.service(ServiceId(tmf.uuid_of(service_id)))
        return None if view is None else _service(view)

    def page(query: tmf.Query) -> tmf.Page:
        return query.read(provisioning.service_rows, lambda service: _service(service.view()))

    resource = tmf.Resource(
        api="TMF638",
        name="service",
        type_name="Service",
        component="provisioning",
        scope="services",
        logged="service_id",
        get=get,
        list=page,
        attributes={
            "id": tmf.Attribute(tmf.Kind.ID, "id", sortable=True),
            "name": tmf.Attribute(column="number", sortable=True),
            "state": tmf.Attribute(column="state", means=_stored_states()),
            "turnupState": tmf.Attribute(column="state", sortable=True),
            "management": tmf.Attribute(column="management"),
            "serviceCharacteristic.value": tmf.Attribute(),
            "relatedEntity.entity.id": tmf.Attribute(tmf.Kind.ID, "product"),
            "facts.subscriberOnline": tmf.Attribute(tmf.Kind.BOOLEAN, "online"),
            "facts.trafficSeenAt": tmf.Attribute(tmf.Kind.INSTANT),
        },
    )
    return [
        tmf.router([resource], runtime),
        _native(provisioning, runtime),
        _brake(provisioning, runtime),
    ]


def _native(provisioning: Provisioning, runtime: Runtime) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["services"])

    @router.post("/services/{service_id}/accept")
    def accept(request: Request, service_id: UUID) -> dict[str, str]:
        """Somebody accepts the service: billing may start, if the offering waits for acceptance."""
        caller = authorise(request, "services:write")
        with runtime.unit("provisioning", caller.actor) as unit:
            provisioning.accept(unit, ServiceId(service_id), unit.now)
        return {"state": "accepted"}

    @router.post("/services/{service_id}/repair")
    def repair(request: Request, service_id: UUID) -> dict[str, str]:
        """Apply the desired state again; idempotent."""
        caller = authorise(request, "services:write")
        with runtime.unit("provisioning", caller.actor) as unit:
            provisioning.repair(unit, ServiceId(service_id), unit.now.isoformat())
        return {"state": "started"}

    return router


class NewManagement(BaseModel):
    """How services are managed from now on, and which: a number, or the code of an element or a site."""

    to: Management
    reason: str
    service: str | None = None
    element: str | None = None
    site: str | None = None


def management_router(takeover: Takeover) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["services"])

    @router.post("/services/management")
    def manage(request: Request, body: NewManagement) -> list[dict[str, Any]]:
        """Observe, adopt or manage services; answers what became of each. Nothing is written to elements."""
        caller = authorise(request, "services:write")
        chosen = takeover.chosen(service=body.service, element=body.element, site=body.site)
        return [_move(each) for each in takeover.move(chosen, body.to, body.reason, caller.actor)]

    return router


def _move(move: ManagementMove) -> dict[str, Any]:
    return {
        "serviceId": str(move.service_id),
        "service": move.number,
        "before": move.before.value,
        "now": move.now.value,
        "refused": move.refused,
        "taken": {name: list(values) for name, values in move.taken.items()},
    }


class Decision(BaseModel):
    """`holds`: ids of those decided; left out: all that wait."""

    reason: str
    holds: list[UUID] | None = None


class Reason(BaseModel):
    reason: str


def dangerous(provisioning: Provisioning) -> Sequence[Dangerous]:
    """What may need four eyes. Arguments: `holds` (ids; null: all that wait), `reason`."""

    def release(unit: UnitOfWork, arguments: Arguments) -> Mapping[str, Any]:
        ids = arguments["holds"]
        chosen = None if ids is None else [HoldId(UUID(each)) for each in ids]
        return {"decided": provisioning.release_holds(unit, chosen, arguments["reason"])}

    def pin(arguments: Arguments) -> Arguments:
        waiting = [str(view.id) for view in provisioning.holds()]
        return {**arguments, "holds": waiting if arguments["holds"] is None else sorted(arguments["holds"])}

    def what(arguments: Arguments) -> str:
        chosen = set(arguments["holds"])
        found = [f"{v.n} ({v.what})" for v in provisioning.holds(open_only=False) if str(v.id) in chosen]
        return f"release {len(chosen)} held changes: {', '.join(found)}; reason: {arguments['reason']}"

    return [
        Dangerous(
            action=RELEASE_HOLDS,
            scope="brake:write",
            component="provisioning",
            what=what,
            run=release,
            pin=pin,
        )
    ]


def _brake(provisioning: Provisioning, runtime: Runtime) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1/brake", tags=["safety"])

    def let_go(request: Request, holds: Sequence[UUID] | None, reason: str) -> Response:
        caller = authorise(request, "brake:write")
        chosen = None if holds is None else [str(each) for each in holds]
        return guarded(request, caller, RELEASE_HOLDS, {"holds": chosen, "reason": reason})

    def never(request: Request, holds: Sequence[UUID] | None, reason: str) -> dict[str, int]:
        caller = authorise(request, "brake:write")
        ids = None if holds is None else [HoldId(each) for each in holds]
        with runtime.unit("provisioning", caller.actor) as unit:
            return {"decided": provisioning.refuse_holds(unit, ids, reason)}

    @router.get("")
    def brake(request: Request) -> dict[str, Any]:
        """How much of the hour's limit is used, and how much waits for a person."""
        authorise(request, "brake:read")
        view = provisioning.brake()
        return {
            "limit": view.limit,
            "used": view.used,
            "services": view.services,
            "servicesMin": view.services_min,
            "sharePercent": view.share_percent,
            "waiting": view.waiting,
            "waitingServices": view.waiting_services,
            "waitingSince": _when(view.waiting_since),
        }

    @router.get("/holds")
    def holds(request: Request, *, all: bool = False) -> list[dict[str, Any]]:
        """What the brake holds, in the order in which it came; with `all`, what was decided too."""
        authorise(request, "brake:read")
        return [_hold(view) for view in provisioning.holds(open_only=not all)]

    @router.post("/release")
    def release_many(request: Request, body: Decision) -> Response:
        """Let these, or all, go on. May need four eyes (202)."""
        return let_go(request, body.holds, body.reason)

    @router.post("/refuse")
    def refuse_many(request: Request, body: Decision) -> dict[str, int]:
        """These, or all, never happen."""
        return never(request, body.holds, body.reason)

    @router.post("/holds/{hold_id}/release")
    def release(request: Request, hold_id: UUID, body: Reason) -> Response:
        """Let it go on. May need four eyes (202)."""
        return let_go(request, [hold_id], body.reason)

    @router.post("/holds/{hold_id}/refuse")
    def refuse(request: Request, hold_id: UUID, body: Reason) -> dict[str, int]:
        """It never happens."""
        return never(request, [hold_id], body.reason)

    return router


def _hold(view: HoldView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "n": view.n,
        "cause": view.cause.kind.value,
        "causeText": view.cause.text,
        "request": view.cause.key,
        "actor": view.actor,
        "what": view.what,
        "serviceIds": [str(service_id) for service_id in view.service_ids],
        "heldAt": iso_utc(view.held_at),
        "state": view.state.value,
        "decidedBy": view.decided_by,
        "decidedAt": _when(view.decided_at),
        "decisionReason": view.decision_reason,
    }


def _operating_status(view: ServiceView) -> str:
    if view.state is ServiceState.SUSPENDED:
        return "limited"
    if view.facts.online is None:
        return "configured" if view.facts.configuration_present else "pending"
    return "running" if view.facts.online else "stopped"


def _service(view: ServiceView) -> dict[str, Any]:
    facts = view.facts
    body: dict[str, Any] = {
        "id": str(view.id),
        "name": view.number,
        "serviceType": "CFS",
        "category": "internet access",
        "isServiceEnabled": view.state in (ServiceState.ONLINE, ServiceState.ACCEPTED),
        "hasStarted": view.facts.online_changed_at is not None,
        "state": _STATES[view.state],
        "operatingStatus": _operating_status(view),
        "serviceSpecification": {"id": view.spec_code, "@type": "ServiceSpecificationRef"},
        "serviceCharacteristic": [
            {"@type": "StringCharacteristic", "name": name, "valueType": "string", "value": value}
            for name, value in sorted({**view.characteristics, "login": view.login}.items())
        ],
        "relatedEntity": [
            {
                "@type": "RelatedEntityRefOrValue",
                "role": "product",
                "entity": {"id": str(view.product_id), "@type": "EntityRef", "@referredType": "Product"},
            }
        ],
        "facts": {
            "configurationPresent": facts.configuration_present,
            "configurationReadAt": _when(facts.configuration_read_at),
            "subscriberOnline": facts.online,
            "onlineChangedAt": _when(facts.online_changed_at),
            "trafficSeenAt": _when(facts.traffic_seen_at),
            "sessionKbps": list(facts.speeds_kbps) if facts.speeds_kbps else None,
        },
        "turnupState": view.state.value,
        "management": view.management.value,
        "generation": view.generation,
        "verifiedGeneration": view.verified_generation,
    }
    return body


def _when(instant: Any) -> str | None:
    return None if instant is None else iso_utc(instant)

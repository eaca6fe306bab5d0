"""HTTP shapes of inventory: TMF639 resources, the network's elements as physical resources; pools native."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from turnup.contracts.inventory import ElementView
from turnup.kernel.ids import ElementId, ServiceId
from turnup.oss.inventory.service import Inventory
from turnup.runtime import tmf
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime


def routers(inventory: Inventory, runtime: Runtime) -> Sequence[APIRouter]:
    def get(resource_id: str) -> dict[str, Any] | None:
        element = inventory.element(ElementId(tmf.uuid_of(resource_id)))
        return None if element is None else _element(element, inventory)

    def page(query: tmf.Query) -> list[dict[str, Any]]:
        return [_element(element, inventory) for element in inventory.elements()]

    resource = tmf.Resource(
        api="TMF639",
        name="resource",
        type_name="PhysicalResource",
        component="inventory",
        scope="resources",
        get=get,
        list=page,
        attributes={
            "id": tmf.Attribute(tmf.Kind.ID, sortable=True),
            "name": tmf.Attribute(sortable=True),
            "category": tmf.Attribute(sortable=True),
            "lifecycleState": tmf.Attribute(sortable=True),
        },
    )
    return [tmf.router([resource], runtime), _native(inventory, runtime)]


class Equipment(BaseModel):
    """What was installed at the subscriber's."""

    ont_serial: str = Field(pattern=r"^[A-Za-z0-9]{4,24}$")


def _native(inventory: Inventory, runtime: Runtime) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["inventory"])

    @router.get("/pools")
    def pools(request: Request) -> list[dict[str, Any]]:
        """Address pools and how full they are."""
        authorise(request, "resources:read")
        return [
            {
                "pool": pool.code,
                "kind": pool.kind,
                "prefixes": pool.prefixes,
                "used": pool.used,
                "total": pool.total,
            }
            for pool in inventory.pools()
        ]

    @router.post("/services/{service_id}/equipment")
    def equipment(request: Request, service_id: UUID, body: Equipment) -> dict[str, str]:
        """The ONT's serial became known (it may arrive last); the network is configured for it."""
        caller = authorise(request, "resources:write")
        with runtime.unit("inventory", caller.actor) as unit:
            inventory.set_ont_serial(unit, ServiceId(service_id), body.ont_serial)
        return {"ontSerial": body.ont_serial}

    @router.get("/services/{service_id}/resources")
    def resources(request: Request, service_id: UUID) -> dict[str, Any]:
        """What a service holds: port, VLAN, addresses, ONT."""
        authorise(request, "resources:read")
        held = inventory.reservation(ServiceId(service_id))
        if held is None:
            return {"status": "none", "resources": {}}
        return {"status": held.status, "resources": dict(held.resources)}

    return router


def _element(element: ElementView, inventory: Inventory) -> dict[str, Any]:
    return {
        "id": str(element.id),
        "name": element.code,
        "category": element.role,
        "lifecycleState": "installed" if element.status == "in_service" else "planned",
        "administrativeState": "unlocked",
        "resourceCharacteristic": [
            {"@type": "StringCharacteristic", "name": name, "valueType": "string", "value": value}
            for name, value in sorted({**element.management, "driver": element.driver}.items())
        ],
        "resourceRelationship": [
            {
                "@type": "ResourceRelationship",
                "relationshipType": "contains",
                "resource": {"id": str(port.id), "name": port.name, "@type": "ResourceRef"},
            }
            for port in inventory.ports(element.id)
        ],
    }

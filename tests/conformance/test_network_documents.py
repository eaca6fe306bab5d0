"""TMF638 and TMF639 as provisioning and inventory write them. What they add of their own is named here."""

import json
from dataclasses import replace
from typing import Any

import pytest

from builders.tmf_schema import complaints
from provisioning.conftest import SERVICE
from provisioning.test_provisioning_rules import NOON
from turnup.contracts.inventory import ElementView, PortView
from turnup.contracts.provisioning import ServiceFacts, ServiceState
from turnup.kernel.ids import ElementId, PortId, SiteId, new_id
from turnup.oss.inventory.routes import _element
from turnup.oss.provisioning.routes import _service
from turnup.runtime.tmf.body import json_bytes, stamped

OWN = ("facts", "turnupState", "management", "generation", "verifiedGeneration")


def written(body: dict[str, Any], type_name: str) -> Any:
    return json.loads(json_bytes(stamped(body, collection="http://x", type_name=type_name)))


@pytest.mark.parametrize("state", list(ServiceState))
@pytest.mark.parametrize("online", [None, True, False])
def test_a_service_in_every_state(state: ServiceState, online: bool | None) -> None:
    facts = ServiceFacts(online=online, online_changed_at=None if online is None else NOON)
    document = written(_service(replace(SERVICE, state=state, facts=facts).view()), "Service")
    assert complaints("TMF638-5", "Service", document, own=OWN) == []


class Ports:
    """The part of inventory that a resource's document asks for."""

    def ports(self, element_id: ElementId) -> list[PortView]:
        port = PortView(id=PortId(new_id()), element_id=element_id, name="pon-0/1/3", kind="pon", capacity=64)
        return [port]


@pytest.mark.parametrize("status", ["planned", "in_service", "retired"])
def test_an_element_as_a_physical_resource(status: str) -> None:
    element = ElementView(
        id=ElementId(new_id()),
        code="olt1",
        role="access",
        site_id=SiteId(new_id()),
        driver="tlos",
        management={"host": "127.0.0.1", "ssh_port": "22"},
        status=status,
    )
    document = written(_element(element, Ports()), "PhysicalResource")  # type: ignore[arg-type]
    assert complaints("TMF639-5", "PhysicalResource", document) == []

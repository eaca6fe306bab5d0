"""What inventory does when others report: resources follow what the network was proved to hold."""

from collections.abc import Mapping

from turnup.contracts.provisioning import ServiceCeased, ServiceChanged, ServiceConfigured
from turnup.contracts.unit import Event, Unit
from turnup.oss.inventory.service import Inventory
from turnup.runtime.events import Handler


def handlers(inventory: Inventory) -> Mapping[type[Event], Handler]:
    def assigned(unit: Unit, event: ServiceConfigured | ServiceChanged) -> None:
        inventory.assign(unit, event.service_id)

    def ceased(unit: Unit, event: ServiceCeased) -> None:
        inventory.release(unit, event.service_id)

    return {ServiceConfigured: assigned, ServiceChanged: assigned, ServiceCeased: ceased}

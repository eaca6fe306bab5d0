"""What provisioning learns from monitoring and inventory: sessions, traffic, equipment."""

from collections.abc import Mapping

from turnup.contracts.inventory import EquipmentIdentified
from turnup.contracts.monitoring import SessionEnded, SessionStarted, UsageMeasured
from turnup.contracts.unit import Event, Unit
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.events import Handler


def handlers(provisioning: Provisioning) -> Mapping[type[Event], Handler]:
    def started(unit: Unit, event: SessionStarted) -> None:
        provisioning.session_started(unit, event.service_id, event.at)

    def ended(unit: Unit, event: SessionEnded) -> None:
        provisioning.session_ended(unit, event.service_id, event.at)

    def measured(unit: Unit, event: UsageMeasured) -> None:
        if event.upload_octets or event.download_octets:
            provisioning.traffic_seen(unit, event.service_id, event.ended_at)

    def identified(unit: Unit, event: EquipmentIdentified) -> None:
        provisioning.equipment_identified(unit, event.service_id, event.ont_serial)

    return {
        SessionStarted: started,
        SessionEnded: ended,
        UsageMeasured: measured,
        EquipmentIdentified: identified,
    }

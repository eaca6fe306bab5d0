"""What provisioning learns from monitoring and inventory: sessions, traffic, equipment."""

from collections.abc import Sequence

from turnup.contracts.inventory import EquipmentIdentified
from turnup.contracts.monitoring import SessionEnded, SessionStarted, UsageMeasured
from turnup.contracts.unit import Unit
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.events import Handlers, Together


def handlers(provisioning: Provisioning) -> Handlers:
    def started(unit: Unit, events: Sequence[SessionStarted]) -> None:
        provisioning.sessions_started(unit, [(event.service_id, event.at) for event in events])

    def ended(unit: Unit, events: Sequence[SessionEnded]) -> None:
        provisioning.sessions_ended(unit, [(event.service_id, event.at) for event in events])

    def measured(unit: Unit, events: Sequence[UsageMeasured]) -> None:
        used = [event for event in events if event.upload_octets or event.download_octets]
        provisioning.traffic_seen(unit, [(event.service_id, event.ended_at) for event in used])

    def identified(unit: Unit, event: EquipmentIdentified) -> None:
        provisioning.equipment_identified(unit, event.service_id, event.ont_serial)

    return {
        SessionStarted: Together(started),
        SessionEnded: Together(ended),
        UsageMeasured: Together(measured),
        EquipmentIdentified: identified,
    }

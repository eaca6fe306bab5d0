"""Other components' events as facts of billing. Each handler bears repetition."""

from collections.abc import Callable, Mapping
from typing import Any

from turnup.bss.billing.model import FactKind
from turnup.bss.billing.service import facts
from turnup.bss.billing.service.billing import Billing
from turnup.contracts.crm import AccountOpened
from turnup.contracts.monitoring import ServiceOutageEnded, UsageMeasured
from turnup.contracts.orders import PriceAgreed
from turnup.contracts.provisioning import (
    ServiceAccepted,
    ServiceCeased,
    ServiceConfigured,
    ServiceEvent,
    ServiceFirstOnline,
    ServiceResumed,
    ServiceSuspended,
)
from turnup.contracts.unit import Event, Unit

_FACTS: Mapping[type[ServiceEvent], FactKind] = {
    ServiceFirstOnline: FactKind.FIRST_ONLINE,
    ServiceAccepted: FactKind.ACCEPTED,
    ServiceSuspended: FactKind.SUSPENDED,
    ServiceResumed: FactKind.RESUMED,
    ServiceCeased: FactKind.CEASED,
}


def _on_service_event(unit: Unit, event: ServiceEvent) -> None:
    facts.record_service_fact(unit, event.service_id, _FACTS[type(event)], event.at)


def _on_configured(unit: Unit, event: ServiceConfigured) -> None:
    if event.first:
        facts.record_service_fact(unit, event.service_id, FactKind.READY, event.at)


def _on_usage(unit: Unit, event: UsageMeasured) -> None:
    octets = event.upload_octets + event.download_octets
    facts.record_usage(unit, event.service_id, event.key, event.started_at, event.ended_at, octets)


def handlers(billing: Billing) -> Mapping[type[Event], Callable[[Any, Any], None]]:
    def on_outage(unit: Unit, event: ServiceOutageEnded) -> None:
        billing.record_outage(unit, event.problem_id, event.service_id, event.started_at, event.at)

    return {
        AccountOpened: facts.open_account,
        PriceAgreed: facts.agree,
        ServiceConfigured: _on_configured,
        **dict.fromkeys(_FACTS, _on_service_event),
        UsageMeasured: _on_usage,
        ServiceOutageEnded: on_outage,
    }

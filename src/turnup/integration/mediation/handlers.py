"""What happens elsewhere and may go out in a file: kept as facts, in the order of the event log."""

from collections.abc import Callable, Mapping
from typing import Any

from turnup.contracts.billing import InvoicesPosted, PaymentReceived
from turnup.contracts.provisioning import (
    ServiceAccepted,
    ServiceCeased,
    ServiceChanged,
    ServiceConfigured,
    ServiceEvent,
    ServiceFirstOnline,
    ServiceResumed,
    ServiceSuspended,
)
from turnup.contracts.unit import Event, Unit
from turnup.integration.mediation.model import RecordKind
from turnup.integration.mediation.service.files import Files
from turnup.kernel.clock import iso_utc
from turnup.kernel.money import Money

_STATES: Mapping[type[ServiceEvent], str] = {
    ServiceConfigured: "configured",
    ServiceFirstOnline: "online",
    ServiceAccepted: "accepted",
    ServiceChanged: "changed",
    ServiceSuspended: "suspended",
    ServiceResumed: "resumed",
    ServiceCeased: "ceased",
}


def handlers(files: Files) -> Mapping[type[Event], Callable[[Any, Any], None]]:
    def invoices(unit: Unit, event: InvoicesPosted) -> None:
        facts = {"run": str(event.run_id), "shard": str(event.shard)}
        files.note_fact(unit, RecordKind.INVOICES, f"{event.run_id}:{event.shard}", facts, unit.now)

    def payment(unit: Unit, event: PaymentReceived) -> None:
        facts = {
            "payment": str(event.payment_id),
            "account_id": str(event.account_id),
            "amount": Money(event.amount_minor, event.currency).plain,
            "currency": event.currency,
            "received_at": iso_utc(event.at),
        }
        files.note_fact(unit, RecordKind.PAYMENTS, str(event.payment_id), facts, event.at)

    def service(unit: Unit, event: ServiceEvent) -> None:
        if isinstance(event, ServiceConfigured) and not event.first:
            return
        state = _STATES[type(event)]
        facts = {
            "service_id": str(event.service_id),
            "account_id": str(event.account_id),
            "product": str(event.product_id),
            "state": state,
            "at": iso_utc(event.at),
        }
        key = f"{event.service_id}:{state}:{iso_utc(event.at)}"
        files.note_fact(unit, RecordKind.SERVICE_STATES, key, facts, event.at)

    return {
        InvoicesPosted: invoices,
        PaymentReceived: payment,
        **dict.fromkeys(_STATES, service),
    }

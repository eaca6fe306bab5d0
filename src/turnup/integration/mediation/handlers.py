"""What happens elsewhere and may go out in a file: kept as facts, in the order of the event log."""

from collections.abc import Mapping, Sequence

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
from turnup.contracts.unit import Unit
from turnup.integration.mediation.model import RecordKind
from turnup.integration.mediation.service.files import Files
from turnup.kernel.clock import iso_utc
from turnup.kernel.money import Money
from turnup.runtime.events import Handlers, Together

_STATES: Mapping[type[ServiceEvent], str] = {
    ServiceConfigured: "configured",
    ServiceFirstOnline: "online",
    ServiceAccepted: "accepted",
    ServiceChanged: "changed",
    ServiceSuspended: "suspended",
    ServiceResumed: "resumed",
    ServiceCeased: "ceased",
}


def handlers(files: Files) -> Handlers:
    def invoices(unit: Unit, events: Sequence[InvoicesPosted]) -> None:
        files.note_facts(
            unit,
            RecordKind.INVOICES,
            [
                (
                    f"{event.run_id}:{event.shard}",
                    {"run": str(event.run_id), "shard": str(event.shard)},
                    unit.now,
                )
                for event in events
            ],
        )

    def payments(unit: Unit, events: Sequence[PaymentReceived]) -> None:
        files.note_facts(
            unit,
            RecordKind.PAYMENTS,
            [(str(event.payment_id), _payment(event), event.at) for event in events],
        )

    def services(unit: Unit, events: Sequence[ServiceEvent]) -> None:
        told = [event for event in events if not isinstance(event, ServiceConfigured) or event.first]
        files.note_facts(
            unit, RecordKind.SERVICE_STATES, [(_key(event), _service(event), event.at) for event in told]
        )

    return {
        InvoicesPosted: Together(invoices),
        PaymentReceived: Together(payments),
        **dict.fromkeys(_STATES, Together(services)),
    }


def _payment(event: PaymentReceived) -> Mapping[str, str]:
    return {
        "payment": str(event.payment_id),
        "account_id": str(event.account_id),
        "amount": Money(event.amount_minor, event.currency).plain,
        "currency": event.currency,
        "received_at": iso_utc(event.at),
    }


def _service(event: ServiceEvent) -> Mapping[str, str]:
    return {
        "service_id": str(event.service_id),
        "account_id": str(event.account_id),
        "product": str(event.product_id),
        "state": _STATES[type(event)],
        "at": iso_utc(event.at),
    }


def _key(event: ServiceEvent) -> str:
    return f"{event.service_id}:{_STATES[type(event)]}:{iso_utc(event.at)}"

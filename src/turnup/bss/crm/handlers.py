"""What customers are told of what happened elsewhere. Each message once: its key names the occasion."""

from collections.abc import Mapping

from turnup.bss.crm.rules import amount, local_time
from turnup.bss.crm.service import CrmService
from turnup.contracts import provisioning
from turnup.contracts.billing import DunningStepReached
from turnup.contracts.crm import AccountView
from turnup.contracts.monitoring import ServiceOutageEnded, ServiceOutageStarted
from turnup.contracts.orders import OrderState, OrderStateChanged
from turnup.contracts.unit import Event, Unit
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import AccountId, ServiceId
from turnup.runtime.events import Handler

_DUNNING = {"remind": "reminder", "suspend": "suspended", "restore": "restored"}


def handlers(service: CrmService, services: provisioning.Reads) -> Mapping[type[Event], Handler]:
    told = _Told(service, services)
    return {
        ServiceOutageStarted: told.outage_started,
        ServiceOutageEnded: told.outage_ended,
        DunningStepReached: told.dunning_step,
        OrderStateChanged: told.order_state,
    }


class _Told:
    """One method per event."""

    def __init__(self, crm: CrmService, services: provisioning.Reads) -> None:
        self._crm = crm
        self._services = services

    def outage_started(self, unit: Unit, event: ServiceOutageStarted) -> None:
        known, account = self._of_service(event.service_id)
        self._crm.notify(
            unit,
            known.customer_id,
            "outage_started",
            f"outage_started:{event.problem_id}:{event.service_id}",
            {"service": known.number, "at": local_time(event.at, account.time_zone)},
        )

    def outage_ended(self, unit: Unit, event: ServiceOutageEnded) -> None:
        known, account = self._of_service(event.service_id)
        self._crm.notify(
            unit,
            known.customer_id,
            "outage_ended",
            f"outage_ended:{event.problem_id}:{event.service_id}",
            {
                "service": known.number,
                "started_at": local_time(event.started_at, account.time_zone),
                "at": local_time(event.at, account.time_zone),
            },
        )

    def dunning_step(self, unit: Unit, event: DunningStepReached) -> None:
        account = self._account(event.account_id)
        self._crm.notify(
            unit,
            account.customer_id,
            _DUNNING[event.action],
            f"dunning:{event.case}:{event.action}",
            {"account": account.number, "amount": amount(event.overdue_minor, event.currency)},
        )

    def order_state(self, unit: Unit, event: OrderStateChanged) -> None:
        if event.state is not OrderState.COMPLETED or event.origin == "dunning":
            return  # dunning's own messages tell of suspension and restoration
        account = self._account(event.account_id)
        self._crm.notify(
            unit,
            account.customer_id,
            "order_completed",
            f"order_completed:{event.order_id}",
            {"account": account.number, "at": local_time(event.at, account.time_zone)},
        )

    def _of_service(self, service_id: ServiceId) -> tuple[provisioning.ServiceView, AccountView]:
        known = self._services.service(service_id)
        if known is None:
            raise NotFound(f"there is no service {service_id}", field="service_id")
        return known, self._account(known.account_id)

    def _account(self, account_id: AccountId) -> AccountView:
        account = self._crm.account(account_id)
        if account is None:
            raise NotFound(f"there is no account {account_id}", field="account_id")
        return account

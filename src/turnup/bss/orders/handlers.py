"""What orders does when others report: dunning's decisions become orders like any other."""

from collections.abc import Mapping

from turnup.bss.orders.service import Orders
from turnup.contracts.billing import DunningStepReached
from turnup.contracts.orders import ProductStatus
from turnup.contracts.unit import Event, Unit
from turnup.runtime.events import Handler

_STATUS = {"suspend": ProductStatus.SUSPENDED, "restore": ProductStatus.ACTIVE}


def handlers(orders: Orders) -> Mapping[type[Event], Handler]:
    def dunning(unit: Unit, event: DunningStepReached) -> None:
        status = _STATUS.get(event.action)
        if status is ProductStatus.ACTIVE:
            orders.call_off(unit, event.account_id, f"dunning {event.case}")
        if status is not None:
            orders.change_status(
                unit,
                event.account_id,
                status,
                f"dunning:{event.case}:{event.action}",
                f"dunning {event.case}",
            )

    return {DunningStepReached: dunning}

"""TMF622 and TMF637 as orders writes them. What orders adds of its own is named here."""

import json
from datetime import UTC, datetime

import pytest

from builders.tmf_schema import complaints
from turnup.bss.orders.routes import _order, _product
from turnup.contracts.orders import (
    ItemAction,
    OrderItemView,
    OrderState,
    OrderView,
    ProductStatus,
    ProductView,
    StepView,
)
from turnup.kernel.ids import (
    AccountId,
    CustomerId,
    OfferingId,
    OrderId,
    OrderItemId,
    ProductId,
    ServiceId,
    new_id,
)
from turnup.runtime.tmf.body import json_bytes, stamped

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def order(state: OrderState, error: str | None) -> OrderView:
    item = OrderItemView(
        id=OrderItemId(new_id()),
        action=ItemAction.ADD,
        product_id=ProductId(new_id()),
        service_id=ServiceId(new_id()),
        offering_code="fibre-300-50",
        state=state,
    )
    step = StepView(name="reserve", attempt=1, started_at=NOON, ms=3.1, device_ms=0.0, ok=error is None)
    return OrderView(
        id=OrderId(new_id()),
        number="O-100001",
        state=state,
        customer_id=CustomerId(new_id()),
        account_id=AccountId(new_id()),
        items=(item,),
        steps=(step,),
        requested_start=NOON,
        created_at=NOON,
        completed_at=NOON if state is OrderState.COMPLETED else None,
        error=error,
    )


@pytest.mark.parametrize("state", list(OrderState))
def test_an_order_in_every_state(state: OrderState) -> None:
    document = json.loads(
        json_bytes(
            stamped(_order(order(state, "no such pool")), collection="http://x", type_name="ProductOrder")
        )
    )
    assert complaints("TMF622-5", "ProductOrder", document, own=("timeline", "service")) == []


@pytest.mark.parametrize("status", list(ProductStatus))
def test_a_product_in_every_status(status: ProductStatus) -> None:
    view = ProductView(
        id=ProductId(new_id()),
        service_id=ServiceId(new_id()),
        customer_id=CustomerId(new_id()),
        account_id=AccountId(new_id()),
        offering_id=OfferingId(new_id()),
        offering_code="fibre-300-50",
        name="Fibre 300/50",
        status=status,
        characteristics={"down_kbps": "300000"},
        start=NOON,
        end=None,
    )
    document = json.loads(json_bytes(stamped(_product(view), collection="http://x", type_name="Product")))
    assert complaints("TMF637-5", "Product", document) == []

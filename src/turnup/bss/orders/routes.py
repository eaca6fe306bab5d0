"""HTTP shapes of orders: TMF622 orders and cancellations, TMF637 products; tasks and fall-out native."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel

from turnup.bss.orders import rules
from turnup.bss.orders.service import Orders
from turnup.contracts.orders import (
    CancellationView,
    FalloutChoice,
    ItemAction,
    NewOrder,
    NewOrderItem,
    OrderView,
    ProductStatus,
    ProductView,
)
from turnup.contracts.unit import Unit
from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import AccountId, AddressId, CancellationId, OrderId, ProductId, TaskId
from turnup.runtime import tmf
from turnup.runtime.auth import Realm, authorise
from turnup.runtime.component import Runtime

_ID = tmf.Attribute(tmf.Kind.ID, "id", sortable=True)
_ACCOUNT = tmf.Attribute(tmf.Kind.ID, "account")
_CUSTOMER = tmf.Attribute(tmf.Kind.ID, "customer")
_CREATED = tmf.Attribute(tmf.Kind.INSTANT, "created_at", sortable=True)
_NEWEST_FIRST = "-creationDate,-id"


def routers(orders: Orders, runtime: Runtime) -> Sequence[APIRouter]:
    return [tmf.router(_resources(orders), runtime), _native(orders, runtime)]


def _resources(orders: Orders) -> Sequence[tmf.Resource]:
    def create(unit: Unit, body: dict[str, Any], key: str | None) -> str:
        return str(orders.submit(unit, _new_order(body, key)))

    def get(order_id: str) -> dict[str, Any] | None:
        view = orders.order(OrderId(tmf.uuid_of(order_id, "id")))
        return None if view is None else _order(view)

    def page(query: tmf.Query) -> tmf.Page:
        return query.read(orders.order_rows, _order)

    def patch(unit: Unit, order_id: str, body: dict[str, Any]) -> str:
        if set(body) - {"@type", "id"} != {"state"} or body["state"] != "cancelled":
            raise InvalidInput(
                "an order under way cannot be edited, only cancelled",
                field=next(iter(sorted(body)), "body"),
                remedy='PATCH {"state": "cancelled"}, or resolve its fall-out with edits',
            )
        orders.cancel(unit, OrderId(tmf.uuid_of(order_id, "id")), "cancelled by PATCH")
        return order_id

    def cancel(unit: Unit, body: dict[str, Any], key: str | None) -> str:
        order_id = OrderId(_ref(body, "productOrder"))
        wanted = body.get("requestedCancellationDate")
        if wanted and _instant(wanted, "requestedCancellationDate") > unit.now:
            raise InvalidInput(
                "a cancellation begins at once",
                field="requestedCancellationDate",
                remedy="leave it out, and ask on the day",
            )
        orders.cancel(unit, order_id, str(body.get("cancellationReason") or "cancelled"))
        return str(rules.cancellation_id(order_id))

    def cancellation(identity: str) -> dict[str, Any] | None:
        view = orders.cancellation(CancellationId(tmf.uuid_of(identity, "id")))
        return None if view is None else _cancellation(view)

    def cancellations(query: tmf.Query) -> tmf.Page:
        return query.read(orders.cancellation_rows, _cancellation)

    def realm(document: Mapping[str, Any]) -> Realm | None:
        """That of the account, of an order to be made as well."""
        account = orders.account_of(AccountId(_ref(document, "billingAccount")))
        return None if account is None else Realm(account.legal_entity_id, account.brand_id)

    def cancellation_realm(document: Mapping[str, Any]) -> Realm | None:
        """That of the order."""
        view = orders.order(OrderId(_ref(document, "productOrder")))
        account = None if view is None else orders.account_of(view.account_id)
        return None if account is None else Realm(account.legal_entity_id, account.brand_id)

    def product(product_id: str) -> dict[str, Any] | None:
        view = orders.product(ProductId(tmf.uuid_of(product_id, "id")))
        return None if view is None else _product(view)

    def products(query: tmf.Query) -> tmf.Page:
        return query.read(orders.product_rows, _product)

    return [
        tmf.Resource(
            api="TMF622",
            name="productOrder",
            type_name="ProductOrder",
            component="orders",
            scope="orders",
            logged="order_id",
            create=create,
            get=get,
            list=page,
            patch=patch,
            realm=realm,
            order=_NEWEST_FIRST,
            attributes={
                "id": _ID,
                "state": tmf.Attribute(column="state", sortable=True),
                "billingAccount.id": _ACCOUNT,
                "relatedParty.partyOrPartyRole.id": _CUSTOMER,
                "externalId.id": tmf.Attribute(column="number"),
                "creationDate": _CREATED,
                "requestedStartDate": tmf.Attribute(tmf.Kind.INSTANT, "requested_start"),
                "completionDate": tmf.Attribute(tmf.Kind.INSTANT, "completed_at"),
                "productOrderItem.action": tmf.Attribute(),
                "productOrderItem.state": tmf.Attribute(),
                "productOrderItem.productOffering.id": tmf.Attribute(),
            },
        ),
        tmf.Resource(
            api="TMF622",
            name="cancelProductOrder",
            type_name="CancelProductOrder",
            component="orders",
            scope="orders",
            create=cancel,
            get=cancellation,
            list=cancellations,
            realm=cancellation_realm,
            order=_NEWEST_FIRST,
            attributes={
                "id": _ID,
                "productOrder.id": tmf.Attribute(tmf.Kind.ID, "order"),
                "creationDate": _CREATED,
                "state": tmf.Attribute(),
            },
        ),
        tmf.Resource(
            api="TMF637",
            name="product",
            type_name="Product",
            component="orders",
            scope="products",
            logged="product_id",
            get=product,
            list=products,
            realm=realm,
            attributes={
                "id": _ID,
                "name": tmf.Attribute(column="name", sortable=True),
                "status": tmf.Attribute(column="status", sortable=True),
                "billingAccount.id": _ACCOUNT,
                "productOffering.id": tmf.Attribute(column="offering"),
                "realizingService.id": tmf.Attribute(tmf.Kind.ID, "service"),
                "startDate": tmf.Attribute(tmf.Kind.INSTANT, "start_at"),
                "terminationDate": tmf.Attribute(tmf.Kind.INSTANT, "end_at"),
            },
        ),
    ]


# --- reading a body --------------------------------------------------------------------------------------


def _new_order(body: Mapping[str, Any], key: str | None) -> NewOrder:
    items = body.get("productOrderItem")
    if not isinstance(items, list) or not items:
        raise InvalidInput(
            "an order has at least one item", field="productOrderItem", remedy="add productOrderItem: [{…}]"
        )
    start = body.get("requestedStartDate")
    external = body.get("externalId") or []
    return NewOrder(
        account_id=AccountId(_ref(body, "billingAccount")),
        items=tuple(_new_item(item, f"productOrderItem[{n}]") for n, item in enumerate(items)),
        address_id=_address(items),
        site=body.get("servingSite"),
        requested_start=_instant(start, "requestedStartDate") if start else None,
        external_id=str(external[0].get("id")) if external else None,
        idempotency_key=key,
        reason=body.get("description"),
    )


def _new_item(item: Any, path: str) -> NewOrderItem:
    if not isinstance(item, Mapping):
        raise InvalidInput("must be an object", field=path)
    try:
        action = ItemAction(item.get("action", "add"))
    except ValueError as error:
        raise InvalidInput(
            f"unknown action {item.get('action')!r}",
            field=f"{path}.action",
            remedy=f"use one of: {', '.join(ItemAction)}",
        ) from error
    product = item.get("product") or {}
    offering = item.get("productOffering") or product.get("productOffering") or {}
    status = product.get("status")
    if status is not None and status not in list(ProductStatus):
        raise InvalidInput(
            f"unknown status {status!r}", field=f"{path}.product.status", remedy="use active or suspended"
        )
    return NewOrderItem(
        action=action,
        offering=offering.get("id"),
        product_id=ProductId(tmf.uuid_of(product["id"], f"{path}.product.id")) if product.get("id") else None,
        characteristics=_characteristics(product, path),
        target_status=ProductStatus(status) if status is not None else None,
    )


def _characteristics(product: Mapping[str, Any], path: str) -> dict[str, str | int | bool]:
    found: dict[str, str | int | bool] = {}
    for n, row in enumerate(product.get("productCharacteristic") or []):
        if not isinstance(row, Mapping) or "name" not in row or "value" not in row:
            raise InvalidInput(
                "a characteristic has a name and a value",
                field=f"{path}.product.productCharacteristic[{n}]",
                remedy='write {"name": …, "value": …}',
            )
        found[str(row["name"])] = row["value"]
    return found


def _address(items: Sequence[Mapping[str, Any]]) -> AddressId | None:
    for n, item in enumerate(items):
        for m, place in enumerate((item.get("product") or {}).get("place") or []):
            place = place.get("place", place)
            if place.get("id"):
                field = f"productOrderItem[{n}].product.place[{m}].id"
                return AddressId(tmf.uuid_of(place["id"], field))
    return None


def _ref(body: Mapping[str, Any], name: str) -> UUID:
    reference = body.get(name)
    if not isinstance(reference, Mapping) or not reference.get("id"):
        raise InvalidInput(f"{name} is missing", field=f"{name}.id", remedy=f'add "{name}": {{"id": …}}')
    return tmf.uuid_of(reference["id"], f"{name}.id")


def _instant(value: str, field: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(
            f"{value!r} is not an instant", field=field, remedy="write 2026-01-31T08:00:00Z"
        ) from error
    if instant.tzinfo is None:
        raise InvalidInput("the instant has no zone", field=field, remedy="end it with Z")
    return instant


# --- writing a body --------------------------------------------------------------------------------------


def _order(view: OrderView) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(view.id),
        "state": view.state.value,
        "category": "internet access",
        "externalId": [
            {
                "@type": "ExternalIdentifier",
                "owner": "Turnup",
                "externalIdentifierType": "number",
                "id": view.number,
            }
        ],
        "creationDate": iso_utc(view.created_at),
        "billingAccount": {"id": str(view.account_id), "@type": "BillingAccountRef"},
        "relatedParty": [
            {
                "@type": "RelatedPartyRefOrPartyRoleRef",
                "role": "customer",
                "partyOrPartyRole": {
                    "id": str(view.customer_id),
                    "@type": "PartyRoleRef",
                    "@referredType": "Customer",
                },
            }
        ],
        "productOrderItem": [
            {
                "@type": "ProductOrderItem",
                "id": str(item.id),
                "action": item.action.value,
                "state": item.state.value,
                "quantity": 1,
                **_offering_ref(item.offering_code),
                "product": {"id": str(item.product_id), "@type": "ProductRef"},
                "service": {"id": str(item.service_id)},
            }
            for item in view.items
        ],
        "productOrderMilestone": [
            {
                "@type": "ProductOrderMilestone",
                "name": step.name,
                "status": "Completed" if step.ok else "Violated",
                "milestoneDate": iso_utc(step.started_at),
                "message": step.detail,
            }
            for step in view.steps
        ],
        "timeline": [
            {
                "name": step.name,
                "attempt": step.attempt,
                "ms": round(step.ms, 3),
                "deviceMs": round(step.device_ms, 3),
                "ok": step.ok,
                "detail": step.detail,
            }
            for step in view.steps
        ],
    }
    if view.requested_start:
        body["requestedStartDate"] = iso_utc(view.requested_start)
    if view.completed_at:
        body["completionDate"] = iso_utc(view.completed_at)
    if view.error:
        body["productOrderErrorMessage"] = [
            {
                "@type": "ProductOrderErrorMessage",
                "code": "fallout",
                "reason": view.error,
                "message": view.error,
            }
        ]
    return body


def _cancellation(view: CancellationView) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(view.id),
        "productOrder": {"id": str(view.order_id), "@type": "ProductOrderRef"},
        "cancellationReason": view.reason,
        "creationDate": iso_utc(view.created_at),
        "state": view.state,
    }
    if view.effective_at:
        body["effectiveCancellationDate"] = iso_utc(view.effective_at)
    return body


def _offering_ref(code: str | None) -> dict[str, Any]:
    return {} if code is None else {"productOffering": {"id": code, "@type": "ProductOfferingRef"}}


def _product(view: ProductView) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(view.id),
        "name": view.name,
        "status": view.status.value,
        "isBundle": False,
        "isCustomerVisible": True,
        "billingAccount": {"id": str(view.account_id), "@type": "BillingAccountRef"},
        "productOffering": {"id": view.offering_code, "name": view.name, "@type": "ProductOfferingRef"},
        "productCharacteristic": [
            {"@type": "StringCharacteristic", "name": name, "valueType": "string", "value": value}
            for name, value in sorted(view.characteristics.items())
        ],
        "realizingService": [{"id": str(view.service_id), "@type": "ServiceRef"}],
    }
    if view.start:
        body["startDate"] = iso_utc(view.start)
    if view.end:
        body["terminationDate"] = iso_utc(view.end)
    return body


# --- native ----------------------------------------------------------------------------------------------


class Resolution(BaseModel):
    """How a person resolves a fall-out: retry | edit | undo | skip; `edits` for edit."""

    choice: FalloutChoice
    reason: str = ""
    edits: dict[str, str] | None = None


class TaskDone(BaseModel):
    """What was noted on the visit; `ont_serial` goes to the network."""

    facts: dict[str, str] = {}


def _native(orders: Orders, runtime: Runtime) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["orders"])

    @router.get("/fallout")
    def fallout(request: Request) -> list[dict[str, Any]]:
        """Orders that stopped: what failed, why, and what can be done."""
        authorise(request, "orders:read")
        return [
            {
                "orderId": str(view.order_id),
                "order": view.order_number,
                "step": view.step,
                "reason": view.reason,
                "since": iso_utc(view.since),
                "choices": list(view.choices),
            }
            for view in orders.fallout()
        ]

    @router.post("/orders/{order_id}/resolve")
    def resolve(request: Request, order_id: UUID, body: Resolution) -> dict[str, str]:
        caller = authorise(request, "orders:write")
        with runtime.unit("orders", caller.actor) as unit:
            orders.resolve_fallout(unit, OrderId(order_id), body.choice, body.reason, body.edits)
        return {"state": "accepted"}

    @router.get("/tasks")
    def tasks(request: Request, order_id: UUID | None = None) -> list[dict[str, str]]:
        authorise(request, "orders:read")
        return [
            {
                "id": str(task.id),
                "orderId": str(task.order_id),
                "code": task.code,
                "name": task.name,
                "blocks": task.blocks,
                "state": task.state,
            }
            for task in orders.tasks(OrderId(order_id) if order_id else None)
        ]

    @router.post("/tasks/{task_id}/complete")
    def complete_task(request: Request, task_id: UUID, body: TaskDone) -> dict[str, str]:
        caller = authorise(request, "orders:write")
        with runtime.unit("orders", caller.actor) as unit:
            orders.complete_task(unit, TaskId(task_id), body.facts)
        return {"state": "done"}

    return router

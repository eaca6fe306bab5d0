"""TMF676 (v4): money that came in for an account, and what it settled. Only what is booked is a payment here;
what belongs to nobody yet waits in the native API."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnup.bss.billing.routes.bills import midnight, money
from turnup.bss.billing.service.billing import Billing
from turnup.contracts.billing import PaymentView
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import AccountId, PaymentId
from turnup.kernel.money import Money
from turnup.runtime import tmf
from turnup.runtime.unit_of_work import UnitOfWork

_METHODS = {"manual": "BankTransfer", "file": "BankTransfer"}
_FIELDS = {
    "account": "account.id",
    "amount": "totalAmount.value",
    "currency": "totalAmount.unit",
    "reference": "correlatorId",
}
"""What billing calls it, and where it stands in the body."""


def payment_resources(billing: Billing) -> Sequence[tmf.Resource]:
    def page(query: tmf.Query) -> tmf.Page:
        return query.read(billing.payment_rows, _payment)

    def get(identity: str) -> dict[str, Any] | None:
        view = billing.payment(PaymentId(tmf.uuid_of(identity)))
        return None if view is None else _payment(view)

    def create(unit: UnitOfWork, body: dict[str, Any], key: str | None) -> str:
        """Received today. `correlatorId` makes it count once; where it is missing, the Idempotency-Key."""
        reference = body.get("correlatorId") or key
        if not isinstance(reference, str):
            raise InvalidInput(
                "nothing tells this payment from another one",
                field="correlatorId",
                remedy="send the bank's or your own reference, or an Idempotency-Key",
            )
        _object(body, "paymentMethod")
        account_id = AccountId(tmf.uuid_of(_object(body, "account").get("id"), "account.id"))
        received = _amount(_object(body, "totalAmount"))
        try:
            made = billing.pay(
                unit, account_id, received.minor, received.currency, reference, unit.now.date()
            )
        except (InvalidInput, NotFound, Conflict) as error:
            field = _FIELDS.get(error.field or "", error.field)
            raise type(error)(error.message, field=field, remedy=error.remedy) from error
        return str(made)

    return [
        tmf.Resource(
            api="TMF676",
            name="payment",
            type_name="Payment",
            component="billing",
            scope="billing",
            list=page,
            get=get,
            create=create,
            order="-paymentDate,-id",
            attributes={
                "id": tmf.Attribute(tmf.Kind.ID, "id", sortable=True),
                "account.id": tmf.Attribute(tmf.Kind.ID, "account"),
                "correlatorId": tmf.Attribute(column="reference"),
                "paymentDate": tmf.Attribute(tmf.Kind.DAY, "received_on", sortable=True),
                "totalAmount.value": tmf.Attribute(tmf.Kind.NUMBER),
                "totalAmount.unit": tmf.Attribute(column="currency"),
                "paymentItem.item.id": tmf.Attribute(tmf.Kind.ID),
            },
        )
    ]


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    if not isinstance(found, Mapping):
        raise InvalidInput("is missing or no object", field=name, remedy=f'add "{name}": {{…}}')
    return found


def _amount(told: Mapping[str, Any]) -> Money:
    value, currency = told.get("value"), told.get("unit")
    if not isinstance(currency, str):
        raise InvalidInput("is missing", field="totalAmount.unit", remedy='the currency, such as "EUR"')
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidInput("is no number", field="totalAmount.value", remedy="such as 49.90")
    try:
        return Money.parse(str(value), currency)
    except InvalidInput as error:
        raise InvalidInput(error.message, field="totalAmount.value", remedy=error.remedy) from error


def _payment(view: PaymentView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "correlatorId": view.reference,
        "paymentDate": midnight(view.received_on),
        "status": "booked",
        "account": {"@type": "AccountRef", "@referredType": "BillingAccount", "id": str(view.account_id)},
        "paymentMethod": {"@type": _METHODS.get(view.method, view.method), "name": view.method},
        "amount": money(view.amount_minor, view.currency),
        "totalAmount": money(view.amount_minor, view.currency),
        "paymentItem": [
            {
                "@type": "PaymentItem",
                "id": str(n),
                "amount": money(each.amount_minor, view.currency),
                "item": {
                    "@type": "EntityRef",
                    "@referredType": "CustomerBill",
                    "id": str(each.invoice_id),
                    "href": f"{tmf.base_path('TMF678')}/customerBill/{each.invoice_id}",
                },
            }
            for n, each in enumerate(view.settled, start=1)
        ],
    }

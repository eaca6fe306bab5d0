"""TMF678: posted invoices as bills, their lines as rates; reading only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from turnup.bss.billing.service.billing import Billing
from turnup.contracts.billing import InvoiceLineView, InvoiceView
from turnup.kernel.ids import InvoiceId
from turnup.kernel.money import Money
from turnup.runtime import tmf
from turnup.runtime.rows import Condition, Order, Wanted

_PAGE = 500
"""Invoices read at once while rates are looked for."""
_ACCOUNT = tmf.Attribute(tmf.Kind.ID, "account")


def bill_resources(billing: Billing) -> Sequence[tmf.Resource]:
    pages = _Bills(billing)
    return [
        tmf.Resource(
            api="TMF678",
            name="customerBill",
            type_name="CustomerBill",
            component="billing",
            scope="billing",
            get=pages.get,
            list=pages.list,
            order="-billDate,-id",
            attributes={
                "id": tmf.Attribute(tmf.Kind.ID, "id", sortable=True),
                "billNo": tmf.Attribute(column="number"),
                "billDate": tmf.Attribute(tmf.Kind.DAY, "invoice_date", sortable=True),
                "paymentDueDate": tmf.Attribute(tmf.Kind.DAY, "due_date", sortable=True),
                "state": tmf.Attribute(column="state"),
                "category": tmf.Attribute(column="kind", means={"normal": ["bill"], "opening": ["opening"]}),
                "billingAccount.id": _ACCOUNT,
            },
        ),
        tmf.Resource(
            api="TMF678",
            name="appliedCustomerBillingRate",
            type_name="AppliedCustomerBillingRate",
            component="billing",
            scope="billing",
            get=pages.rate,
            list=pages.rates,
            attributes={
                "bill.id": tmf.Attribute(),
                "billingAccount.id": _ACCOUNT,
                "appliedBillingRateType": tmf.Attribute(),
                "product.id": tmf.Attribute(tmf.Kind.ID),
            },
        ),
    ]


class _Bills:
    """Bills are posted invoices, rates their lines; neither is ever changed."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    def get(self, identity: str) -> dict[str, Any] | None:
        """By id or number."""
        view = self._find(identity)
        return None if view is None else _bill(view)

    def list(self, query: tmf.Query) -> tmf.Page:
        return query.read(self._billing.invoice_rows, _bill)

    def rate(self, identity: str) -> dict[str, Any] | None:
        """A line's id is its invoice's and its position."""
        invoice_id, _, n = identity.rpartition("-")
        view = self._find(invoice_id)
        found = [line for line in view.lines if str(line.n) == n] if view else []
        return _rate(view, found[0]) if view and found else None

    def rates(self, query: tmf.Query) -> Iterator[dict[str, Any]]:
        wanted = query.take("bill.id")
        if wanted is not None:
            views = [view for identity in wanted if (view := self._find(identity)) is not None]
            return (_rate(view, line) for view in views for line in view.lines)
        return (_rate(view, line) for head in self._heads(query) for view, line in self._lines(head.id))

    def _lines(self, invoice_id: InvoiceId) -> Iterator[tuple[InvoiceView, InvoiceLineView]]:
        view = self._billing.invoice(invoice_id)
        yield from ((view, line) for line in view.lines) if view else ()

    def _heads(self, query: tmf.Query) -> Iterator[InvoiceView]:
        """The latest first, read page by page as far as the caller looks."""
        account = query.take_one("billingAccount.id")
        wanted = Wanted(order=(Order("invoice_date", descending=True),), limit=_PAGE)
        if account is not None:
            account_id = tmf.uuid_of(account, "billingAccount.id")
            wanted = replace(wanted, conditions=(Condition("account", "eq", (account_id,)),))
        while found := self._billing.invoice_rows(wanted).items:
            yield from (view for _, view in found)
            wanted = replace(wanted, after=found[-1][0])

    def _find(self, identity: str) -> InvoiceView | None:
        try:
            return self._billing.invoice(InvoiceId(UUID(identity)))
        except ValueError:
            return self._billing.invoice_by_number(identity)


def _bill(view: InvoiceView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "billNo": view.number,
        "billDate": midnight(view.invoice_date),
        "paymentDueDate": midnight(view.due_date),
        "billingPeriod": _period(view.period_from, view.period_to),
        "category": "normal" if view.kind == "bill" else view.kind,
        "runType": "onCycle" if view.kind == "bill" else "offCycle",
        "state": _state(view),
        "billingAccount": {"id": str(view.account_id), "@type": "BillingAccountRef"},
        "taxExcludedAmount": money(view.net_minor, view.currency),
        "taxIncludedAmount": money(view.total_minor, view.currency),
        "amountDue": money(view.total_minor, view.currency),
        "remainingAmount": money(view.open_minor, view.currency),
        "taxItem": [{"@type": "TaxItem", "taxAmount": money(view.tax_minor, view.currency)}],
        "billDocument": [
            {
                "@type": "Attachment",
                "name": f"{view.number}.pdf",
                "attachmentType": "invoice",
                "mimeType": "application/pdf",
                "url": f"/turnup/v1/invoices/{view.number}.pdf",
            }
        ],
    }


def _state(view: InvoiceView) -> str:
    if view.open_minor <= 0:
        return "settled"
    return "new" if view.open_minor == view.total_minor else "partiallyPaid"


def _rate(view: InvoiceView, line: InvoiceLineView) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": f"{view.id}-{line.n}",
        "name": line.text,
        "description": line.explanation,
        "appliedBillingRateType": "appliedBillingCredit" if line.kind == "credit" else "appliedBillingCharge",
        "date": midnight(view.invoice_date),
        "isBilled": True,
        "bill": {"id": str(view.id), "@type": "CustomerBillRef"},
        "billingAccount": {"id": str(view.account_id), "@type": "BillingAccountRef"},
        "taxExcludedAmount": money(line.net_minor, view.currency),
        "taxIncludedAmount": money(line.gross_minor, view.currency),
        "appliedTax": [{"@type": "AppliedBillingTaxRate", "taxAmount": money(line.tax_minor, view.currency)}],
    }
    if line.period_from and line.period_to:
        body["periodCoverage"] = _period(line.period_from, line.period_to)
    if line.product_id:
        body["product"] = {"id": str(line.product_id), "@type": "ProductRef"}
    return body


def money(minor: int, currency: str) -> dict[str, Any]:
    """Minor units as TMF's Money: a JSON number in major units."""
    return {"unit": currency, "value": float(Money(minor, currency).plain)}


def _period(start: date, end: date) -> dict[str, str]:
    """Half-open."""
    return {"startDateTime": midnight(start), "endDateTime": midnight(end)}


def midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00.000Z"

"""Native API of billing: runs, invoices explained, payments and payment files, dunning, balances."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel

from turnup.bss.billing.service.billing import Billing
from turnup.contracts.billing import InvoiceLineView, InvoiceView, RunProgress, UnmatchedPayment
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import AccountId, PaymentId, RunId
from turnup.kernel.money import Money
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime

_READ, _WRITE = "billing:read", "billing:write"


class NewRun(BaseModel):
    """Bill every account that is due by this date, of one legal entity (its code) or of all."""

    bill_date: date
    legal_entity: str | None = None


class NewPayment(BaseModel):
    """`account`: id or number; `amount` in major units, as text: "49.90". One reference, one payment."""

    account: str
    amount: str
    reference: str
    received_on: date
    currency: str | None = None


class Assignment(BaseModel):
    """Whose an unmatched payment is: id or number of the account."""

    account: str


class NewDunningRun(BaseModel):
    today: date


def native_router(billing: Billing, runtime: Runtime) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["billing"])
    _add_runs(router, billing, runtime)
    _add_invoices(router, billing)
    _add_payments(router, billing, runtime)
    _add_accounts(router, billing, runtime)
    return router


def _add_runs(router: APIRouter, billing: Billing, runtime: Runtime) -> None:
    @router.post("/bill-runs", status_code=202)
    def start_run(request: Request, body: NewRun) -> dict[str, Any]:
        """Start the bill run of this date; the same date again is the same run."""
        caller = authorise(request, _WRITE)
        with runtime.unit("billing", caller.actor) as unit:
            run_id = billing.start_run(unit, body.bill_date, body.legal_entity)
        return _run(_existing_run(billing, run_id), [])

    @router.get("/bill-runs/{run_id}")
    def run(request: Request, run_id: UUID) -> dict[str, Any]:
        """How far a run is, and which accounts it could not bill."""
        authorise(request, _READ)
        progress = _existing_run(billing, RunId(run_id))
        return _run(progress, billing.parked(progress.run_id))

    @router.post("/dunning-runs")
    def dun(request: Request, body: NewDunningRun) -> dict[str, int]:
        """Take the dunning steps that are due on this day; again on the same day takes none."""
        caller = authorise(request, _WRITE)
        with runtime.unit("billing", caller.actor) as unit:
            return {"steps": billing.dunning_tick(unit, body.today)}


def _existing_run(billing: Billing, run_id: RunId) -> RunProgress:
    progress = billing.run(run_id)
    if progress is None:
        raise NotFound(f"there is no bill run {run_id}", field="id", remedy="the answer to POST names it")
    return progress


def _run(progress: RunProgress, parked: Sequence[tuple[AccountId, str]]) -> dict[str, Any]:
    return {
        "id": str(progress.run_id),
        "state": progress.state,
        "accounts": progress.accounts,
        "invoices": progress.invoices,
        "parked": progress.parked,
        "shards": {"total": progress.shards_total, "done": progress.shards_done},
        "totalMinor": progress.total_minor,
        "parkedAccounts": [{"accountId": str(account), "reason": reason} for account, reason in parked],
    }


def _add_invoices(router: APIRouter, billing: Billing) -> None:
    @router.get("/invoices/{number}/explain", response_model=None)
    def explain(request: Request, number: str) -> Response | dict[str, Any]:
        """Every line with its arithmetic; as text where the caller prefers `text/plain`."""
        authorise(request, _READ)
        told = billing.explain(number)
        if "text/plain" in request.headers.get("accept", ""):
            return Response(told, media_type="text/plain; charset=utf-8")
        return {**_invoice(billing.by_number(number)), "text": told}

    @router.get("/invoices/{number}.pdf")
    def pdf(request: Request, number: str) -> Response:
        authorise(request, _READ)
        headers = {"Content-Disposition": f'inline; filename="{number}.pdf"'}
        return Response(billing.pdf(number), media_type="application/pdf", headers=headers)


def _add_payments(router: APIRouter, billing: Billing, runtime: Runtime) -> None:
    @router.post("/payments", status_code=201)
    def pay(request: Request, body: NewPayment) -> dict[str, Any]:
        """A payment arrived. The same reference again is the same payment; with other content, a conflict."""
        caller = authorise(request, _WRITE)
        account_id = _account(billing, body.account)
        currency = body.currency or billing.currency_of(account_id)
        with runtime.unit("billing", caller.actor) as unit:
            payment_id = billing.pay(
                unit,
                account_id,
                _minor(body.amount, currency),
                currency,
                body.reference,
                body.received_on,
            )
        return {"id": str(payment_id), **_balance(billing, account_id)}

    @router.post("/payment-files")
    def pay_by_file(
        request: Request,
        content: Annotated[bytes, Body(media_type="text/csv")],
        name: str,
        currency: str | None = None,
    ) -> dict[str, Any]:
        """A CSV of `date,reference,amount` as the body. The same file again changes nothing."""
        caller = authorise(request, _WRITE)
        with runtime.unit("billing", caller.actor) as unit:
            known = currency or runtime.settings.default_currency
            result = billing.import_payments(unit, name, content, known)
        return {
            "rows": result.rows,
            "matched": result.matched,
            "unmatched": result.unmatched,
            "repeated": result.repeated,
            "reasons": list(result.reasons),
        }

    @router.get("/payments/unmatched")
    def unmatched(
        request: Request,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Payments that belong to nobody yet, the oldest first, each with the reason; `total` counts all."""
        authorise(request, _READ)
        found, total = billing.unmatched_payments(offset=offset, limit=limit)
        return {"total": total, "payments": [_unmatched(each) for each in found]}

    @router.post("/payments/{payment_id}/assign")
    def assign(request: Request, payment_id: UUID, body: Assignment) -> dict[str, Any]:
        """An unmatched payment is this account's: book it. Again changes nothing."""
        caller = authorise(request, _WRITE)
        account_id = _account(billing, body.account)
        with runtime.unit("billing", caller.actor) as unit:
            billing.assign_payment(unit, PaymentId(payment_id), account_id)
        return {"id": str(payment_id), **_balance(billing, account_id)}


def _unmatched(payment: UnmatchedPayment) -> dict[str, Any]:
    return {
        "id": str(payment.id),
        "amountMinor": payment.amount_minor,
        "currency": payment.currency,
        "reference": payment.reference,
        "receivedOn": payment.received_on.isoformat(),
        "reason": payment.reason,
    }


def _add_accounts(router: APIRouter, billing: Billing, runtime: Runtime) -> None:
    @router.get("/accounts/{account}/balance")
    def balance(request: Request, account: str) -> dict[str, Any]:
        """What the account owes (+) or has left (-)."""
        authorise(request, _READ)
        return _balance(billing, _account(billing, account))

    @router.get("/accounts/{account}/preview")
    def preview(request: Request, account: str, as_of: date | None = None) -> dict[str, Any]:
        """The next bill as it would be today; nothing is stored."""
        authorise(request, _READ)
        account_id = _account(billing, account)
        view = billing.preview(account_id, as_of or runtime.clock.now().date())
        if view is None:
            raise NotFound("there is nothing to bill", field="account", remedy="look again after a sale")
        return _invoice(view)


def _account(billing: Billing, text: str) -> AccountId:
    """By id or number. NotFound when billing does not know it."""
    try:
        account_id: AccountId | None = AccountId(UUID(text))
    except ValueError:
        account_id = billing.account_by_number(text)
    if account_id is None:
        raise NotFound(f"there is no account {text}", field="account", remedy="numbers look like A-100001")
    billing.currency_of(account_id)
    return account_id


def _minor(text: str, currency: str) -> int:
    try:
        return Money.parse(text, currency).minor
    except InvalidInput as error:
        raise InvalidInput(error.message, field="amount", remedy=error.remedy) from error


def _balance(billing: Billing, account_id: AccountId) -> dict[str, Any]:
    return {
        "accountId": str(account_id),
        "balanceMinor": billing.balance_minor(account_id),
        "currency": billing.currency_of(account_id),
    }


def _invoice(view: InvoiceView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "number": view.number,
        "accountId": str(view.account_id),
        "state": view.state,
        "invoiceDate": view.invoice_date.isoformat(),
        "dueDate": view.due_date.isoformat(),
        "periodFrom": view.period_from.isoformat(),
        "periodTo": view.period_to.isoformat(),
        "currency": view.currency,
        "netMinor": view.net_minor,
        "taxMinor": view.tax_minor,
        "totalMinor": view.total_minor,
        "openMinor": view.open_minor,
        "lines": [_line(line) for line in view.lines],
    }


def _line(line: InvoiceLineView) -> dict[str, Any]:
    return {
        "n": line.n,
        "kind": line.kind,
        "text": line.text,
        "productId": str(line.product_id) if line.product_id else None,
        "serviceId": str(line.service_id) if line.service_id else None,
        "periodFrom": line.period_from.isoformat() if line.period_from else None,
        "periodTo": line.period_to.isoformat() if line.period_to else None,
        "netMinor": line.net_minor,
        "taxMinor": line.tax_minor,
        "grossMinor": line.gross_minor,
        "explanation": line.explanation,
    }

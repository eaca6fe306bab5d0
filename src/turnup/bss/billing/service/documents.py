"""Invoices as others see them: views with every line explained, previews, and the PDF."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib.resources import files
from uuid import UUID

import typst

from turnup.bss.billing.frames.facts import Facts
from turnup.bss.billing.frames.invoices import Draft, bill
from turnup.bss.billing.model import Derivation, Granularity, Policies
from turnup.bss.billing.rules.explanation import explanation, text
from turnup.bss.billing.store import accounts, documents, facts
from turnup.bss.billing.store.bulk import Connection
from turnup.contracts.billing import InvoiceLineView, InvoiceView
from turnup.contracts.crm import Recipient
from turnup.kernel.errors import Conflict
from turnup.kernel.ids import AccountId, InvoiceId, ProductId, ServiceId, derived_id
from turnup.kernel.money import Money

_TEMPLATE = "invoice.typ"


def posted_view(connection: Connection, row: documents.InvoiceRow) -> InvoiceView:
    """A posted invoice; an opening balance has no lines."""
    lines = documents.derivations(connection, row) if row.kind == "bill" else []
    return replace(posted_head(row), lines=line_views(lines, row.currency))


def posted_head(row: documents.InvoiceRow) -> InvoiceView:
    """A posted invoice without its lines, for lists."""
    return InvoiceView(
        id=row.id,
        number=row.number,
        account_id=row.account_id,
        kind=row.kind,
        state="posted",
        invoice_date=row.invoice_date,
        due_date=row.due_date,
        period_from=row.period_from,
        period_to=row.period_to,
        currency=row.currency,
        net_minor=row.net_minor,
        tax_minor=row.tax_minor,
        total_minor=row.total_minor,
        open_minor=row.open_minor,
        lines=(),
    )


def preview(
    connection: Connection, account_id: AccountId, as_of: date, policies: Policies
) -> InvoiceView | None:
    """The account's next bill as it would be today, by the frames the run uses; None without charges.

    Conflict says why the account could not be billed.
    """
    account = accounts.find_account(connection, account_id)
    if account is None:
        return None
    draft = _draft(connection, account, max(as_of, account.next_bill_date), policies)
    if not draft.parked.is_empty():
        raise Conflict(
            f"account {account.number} cannot be billed: {draft.parked['reason'][0]}",
            field="account",
            remedy="mend the price, its currency or the tax table",
        )
    if draft.invoices.is_empty():
        return None
    total = draft.invoices.row(0, named=True)
    lines = documents.draft_derivations(
        connection,
        draft.lines,
        draft.facts,
        granularity=policies.billing.granularity,
        rounding=policies.billing.rounding,
    )
    return InvoiceView(
        id=InvoiceId(derived_id("invoice", account_id, total["period_from"], total["period_to"], "bill", 0)),
        number=None,
        account_id=account_id,
        kind="bill",
        state="draft",
        invoice_date=total["invoice_date"],
        due_date=total["due_date"],
        period_from=total["period_from"],
        period_to=total["period_to"],
        currency=total["currency"],
        net_minor=total["net_minor"],
        tax_minor=total["tax_minor"],
        total_minor=total["total_minor"],
        open_minor=total["total_minor"],
        lines=line_views(lines, total["currency"]),
    )


def _draft(
    connection: Connection, account: accounts.AccountRow, bill_date: date, policies: Policies
) -> Draft:
    seconds = policies.billing.granularity is Granularity.SECOND
    scope = facts.Scope(account.id, account.id, bill_date, to_the_second=seconds)
    return bill(Facts(**facts.read_facts(connection, scope, Facts.schemas())), policies, bill_date)


def line_views(lines: Sequence[Derivation], currency: str) -> tuple[InvoiceLineView, ...]:
    return tuple(
        InvoiceLineView(
            n=line.n,
            kind=line.kind,
            text=text(line),
            product_id=ProductId(line.product_id),
            service_id=ServiceId(line.service_id),
            period_from=line.served_from,
            period_to=line.served_to,
            net_minor=line.net_minor,
            tax_minor=line.tax_minor,
            gross_minor=line.net_minor + line.tax_minor,
            explanation=explanation(line, currency),
        )
        for line in lines
    )


def explain(invoice: InvoiceView) -> str:
    """The invoice as plain text, each line followed by its arithmetic."""
    money = _printer(invoice.currency)
    head = f"Invoice {invoice.number or 'draft'} of {invoice.invoice_date}, due {invoice.due_date}"
    body = [
        f"{line.n:>3}. {line.text}: {money(line.net_minor)}\n     {line.explanation}"
        for line in invoice.lines
    ]
    foot = (
        f"net {money(invoice.net_minor)} + tax {money(invoice.tax_minor)}"
        f" = total {money(invoice.total_minor)}; still open {money(invoice.open_minor)}"
    )
    return "\n".join([head, *body, foot])


def render_pdf(
    invoice: InvoiceView, *, recipient: Recipient | None, account_number: str, seller: str
) -> bytes:
    """The invoice as PDF. `seller` stands at its head; texts are data for the template, never its code."""
    money = _printer(invoice.currency)
    data = {
        "seller": seller,
        "name": recipient.name if recipient else "",
        "street": recipient.street if recipient else "",
        "city": f"{recipient.postcode} {recipient.city}" if recipient else "",
        "country": recipient.country if recipient else "",
        "account": account_number,
        "number": invoice.number or "draft",
        "date": str(invoice.invoice_date),
        "due": str(invoice.due_date),
        "period": f"{invoice.period_from} to {invoice.period_to} (exclusive)",
        "lines": [
            {"text": line.text, "why": line.explanation, "net": money(line.net_minor)}
            for line in invoice.lines
        ],
        "net": money(invoice.net_minor),
        "tax": money(invoice.tax_minor),
        "total": money(invoice.total_minor),
    }
    template = files("turnup.bss.billing").joinpath(_TEMPLATE).read_bytes()
    pdf = typst.compile(template, format="pdf", sys_inputs={"invoice": json.dumps(data)})
    return bytes(pdf)


class _printer:
    """Minor units as `12.30 EUR`."""

    def __init__(self, currency: str) -> None:
        self._currency = currency

    def __call__(self, minor: int) -> str:
        return str(Money(minor, self._currency))


def credit_for(
    connection: Connection, account_id: AccountId, problem_id: UUID, policies: Policies
) -> tuple[int, str] | None:
    """(minor units, currency) that the next bill credits for this outage, before tax; None for nothing."""
    account = accounts.find_account(connection, account_id)
    if account is None:
        return None
    draft = _draft(connection, account, account.next_bill_date, policies)
    credited = draft.lines.filter(draft.lines["source_id"] == str(problem_id))
    amount = -sum(credited["net_minor"].to_list())
    return (amount, account.currency) if amount else None

"""Which open invoices an incoming amount settles."""

from collections.abc import Sequence

from turnup.bss.billing.model import OpenInvoice
from turnup.kernel.ids import InvoiceId


def oldest_first(amount_minor: int, invoices: Sequence[OpenInvoice]) -> tuple[tuple[InvoiceId, int], ...]:
    """(invoice, minor units) pairs, oldest due date first; what is left over stays the account's credit."""
    parts: list[tuple[InvoiceId, int]] = []
    for invoice in sorted(invoices, key=lambda each: (each.due_date, each.id)):
        part = min(amount_minor, invoice.open_minor)
        if part <= 0:
            continue
        parts.append((invoice.id, part))
        amount_minor -= part
    return tuple(parts)

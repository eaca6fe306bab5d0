"""Which open invoices incoming money and credit settle."""

from collections.abc import Sequence

from turnup.bss.billing.model import CreditSource, OpenInvoice, Settlement


def oldest_first(sources: Sequence[CreditSource], invoices: Sequence[OpenInvoice]) -> tuple[Settlement, ...]:
    """Oldest money settles the oldest due date first; what is left over stays the account's credit."""
    open_minor = {each.id: each.open_minor for each in sorted(invoices, key=lambda i: (i.due_date, i.id))}
    settled: list[Settlement] = []
    for source in sorted(sources, key=lambda each: (each.since, each.id)):
        left = source.left_minor
        for invoice_id, due in open_minor.items():
            part = min(left, due)
            if part > 0:
                settled.append(Settlement(source, invoice_id, part))
                open_minor[invoice_id] -= part
                left -= part
    return tuple(settled)

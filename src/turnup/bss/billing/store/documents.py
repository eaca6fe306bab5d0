"""Posted documents and their derivations, for reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import polars as pl
from sqlalchemy import Connection, case, select

from turnup.bss.billing import tables
from turnup.bss.billing.model import Derivation
from turnup.bss.billing.store.bulk import rows
from turnup.contracts.billing import InvoiceHead
from turnup.kernel.ids import AccountId, InvoiceId
from turnup.runtime.rows import Listing, Rows, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRow:
    id: InvoiceId
    number: str
    account_id: AccountId
    kind: str
    period_from: date
    period_to: date
    invoice_date: date
    due_date: date
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    open_minor: int
    posted_month: date


_FIELDS = tuple(InvoiceRow.__dataclass_fields__)
_HEAD = tuple(InvoiceHead.__dataclass_fields__)
_INVOICE = f"SELECT {', '.join('i.' + name for name in _FIELDS)} FROM billing.invoice i"


def invoice(connection: Connection, invoice_id: InvoiceId) -> InvoiceRow | None:
    found = _invoices(connection, "WHERE i.id = %(key)s", invoice_id)
    return found[0] if found else None


def invoice_by_number(connection: Connection, number: str) -> InvoiceRow | None:
    """By the printed number; where legal entities share a series, the latest."""
    series, _, digits = number.rpartition("-")
    if not digits.isdecimal():
        return None
    found = rows(
        connection,
        """SELECT invoice_id FROM billing.invoice_number WHERE series = %(series)s AND number = %(number)s
           ORDER BY issued_on DESC LIMIT 1""",
        {"series": series, "number": int(digits)},
    )
    return invoice(connection, found[0][0]) if found else None


def invoices_of(connection: Connection, account_id: AccountId) -> list[InvoiceRow]:
    return _invoices(connection, "WHERE i.account_id = %(key)s ORDER BY i.invoice_date, i.id", account_id)


def posted_in(connection: Connection, run_id: UUID, shard: int) -> list[InvoiceHead]:
    """Of one shard of a run, by number. Found by the shard's range of accounts: an index by shard would cost
    every posting, for files that few send."""
    found = rows(
        connection,
        f"""SELECT {", ".join("i." + name for name in _HEAD)} FROM billing.bill_run_shard s
            JOIN billing.invoice i ON i.account_id BETWEEN s.first_account AND s.last_account
             AND i.run_id = s.run_id AND i.shard = s.n
            WHERE s.run_id = %(run)s AND s.n = %(shard)s ORDER BY i.number, i.id""",
        {"run": run_id, "shard": shard},
    )
    return [InvoiceHead(**dict(zip(_HEAD, row, strict=True))) for row in found]


_bill = tables.invoice.c
_BILLS = Listing(
    {
        "id": _bill.id,
        "number": _bill.number,
        "account": _bill.account_id,
        "kind": _bill.kind,
        "state": case(
            (_bill.open_minor <= 0, "settled"),
            (_bill.open_minor == _bill.total_minor, "new"),
            else_="partiallyPaid",
        ),
        "invoice_date": _bill.invoice_date,
        "due_date": _bill.due_date,
    },
    identity="id",
    sortable=["invoice_date", "due_date"],
)


def page(connection: Connection, wanted: Wanted) -> Rows[InvoiceRow]:
    """A page of the posted invoices, for lists."""
    statement = select(*(_bill[name] for name in _FIELDS))
    return _BILLS.rows(
        connection,
        statement,
        wanted,
        lambda found: [InvoiceRow(**{name: getattr(row, name) for name in _FIELDS}) for row in found],
    )


def newest_of(connection: Connection, accounts: Sequence[AccountId], limit: int) -> list[InvoiceRow]:
    """Of these accounts, the latest first."""
    found = rows(
        connection,
        f"{_INVOICE} WHERE i.account_id = ANY(%(accounts)s)"
        " ORDER BY i.invoice_date DESC, i.id LIMIT %(limit)s",
        {"accounts": list(accounts), "limit": limit},
    )
    return [InvoiceRow(**dict(zip(_FIELDS, row, strict=True))) for row in found]


def _invoices(connection: Connection, where: str, key: object) -> list[InvoiceRow]:
    found = rows(connection, f"{_INVOICE} {where}", {"key": key})
    return [InvoiceRow(**dict(zip(_FIELDS, row, strict=True))) for row in found]


def derivations(connection: Connection, document: InvoiceRow) -> list[Derivation]:
    """The lines of a posted invoice with all that explains them."""
    found = rows(
        connection,
        """SELECT l.n, l.kind, g.name, g.product_id, g.service_id, l.period_from, l.period_to, l.served_from,
                  l.served_to, g.months, g.unit, g.unit_octets, l.price_micro, l.numerator, l.denominator,
                  l.quantity, l.included, l.share_ppm, l.owed_minor, l.billed_before_minor, l.net_minor,
                  l.tax_ppm, l.tax_minor, f.granularity, f.rounding, f.zone, l.source_id
           FROM billing.invoice_line l
           JOIN billing.invoice i ON i.id = l.invoice_id
           JOIN billing.agreement g ON g.id = l.agreement_id
           JOIN billing.run_fact f ON f.run_id = i.run_id AND f.shard = i.shard AND f.key = l.fact_key
           WHERE l.posted_month = %(month)s AND l.invoice_id = %(id)s ORDER BY l.n""",
        {"month": document.posted_month, "id": document.id},
    )
    return [Derivation(*row) for row in found]


def agreement_names(
    connection: Connection, ids: Sequence[str]
) -> dict[str, tuple[str, UUID, UUID, int, str | None, int | None]]:
    """(name, product, service, months, unit, its octets) by agreement id, for the lines of a draft."""
    found = rows(
        connection,
        """SELECT id, name, product_id, service_id, months, unit, unit_octets FROM billing.agreement
           WHERE id = ANY(%(ids)s::uuid[])""",
        {"ids": list(ids)},
    )
    return {str(row[0]): row[1:] for row in found}


def draft_derivations(
    connection: Connection, lines: pl.DataFrame, facts: pl.DataFrame, *, granularity: str, rounding: str
) -> list[Derivation]:
    """The same for the lines of a draft that was not posted (preview)."""
    about = agreement_names(connection, lines["agreement_id"].unique().to_list())
    found = []
    for line in lines.join(facts.select("fact_key", "zone"), on="fact_key").sort("n").iter_rows(named=True):
        name, product, service, months, unit, unit_octets = about[line["agreement_id"]]
        source = line["source_id"]
        found.append(
            Derivation(
                name=name,
                product_id=product,
                service_id=service,
                months=months,
                unit=unit,
                unit_octets=unit_octets,
                granularity=granularity,
                rounding=rounding,
                zone=line["zone"],
                source_id=UUID(source) if source else None,
                **{key: line[key] for key in _LINE_FIELDS},
            )
        )
    return found


_LINE_FIELDS = (
    *("n", "kind", "period_from", "period_to", "served_from", "served_to", "price_micro", "numerator"),
    *("denominator", "quantity", "included", "share_ppm", "owed_minor", "billed_before_minor", "net_minor"),
    *("tax_ppm", "tax_minor"),
)


def balances_minor(connection: Connection, accounts: Sequence[AccountId]) -> dict[AccountId, int]:
    """As `balance_minor`, of many."""
    found = rows(
        connection,
        """SELECT a.id, coalesce(i.minor, 0) - coalesce(p.minor, 0)
           FROM unnest(%(accounts)s::uuid[]) AS a (id)
           LEFT JOIN (SELECT account_id, sum(open_minor) AS minor FROM billing.invoice
                      WHERE account_id = ANY(%(accounts)s) GROUP BY account_id) i ON i.account_id = a.id
           LEFT JOIN (SELECT account_id, sum(unallocated_minor) AS minor FROM billing.payment
                      WHERE account_id = ANY(%(accounts)s) GROUP BY account_id) p ON p.account_id = a.id""",
        {"accounts": list(accounts)},
    )
    return {AccountId(account_id): int(minor) for account_id, minor in found}


def balance_minor(connection: Connection, account_id: AccountId) -> int:
    """What the account owes (+) or has left over (-): the ledger's receivable."""
    found = rows(
        connection,
        """SELECT coalesce((SELECT sum(open_minor) FROM billing.invoice WHERE account_id = %(id)s), 0)
                - coalesce((SELECT sum(unallocated_minor) FROM billing.payment
                            WHERE account_id = %(id)s), 0)""",
        {"id": account_id},
    )
    return int(found[0][0])

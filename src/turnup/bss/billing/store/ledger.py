"""Single ledger transactions and documents that no run makes: payments and opening balances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from turnup.bss.billing.store.bulk import execute
from turnup.bss.billing.store.runs import ensure_month


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One balanced transaction: (ledger account, minor units; debit positive) entries of one source."""

    source_kind: str
    source_id: UUID
    posted_on: date
    legal_entity_id: UUID
    account_id: UUID | None
    currency: str
    entries: Sequence[tuple[str, int]]


def post(connection: Connection, transaction: Transaction) -> None:
    """Post it in one statement; the database refuses it if it does not balance or was posted before."""
    ensure_month(connection, transaction.posted_on)
    execute(
        connection,
        """INSERT INTO billing.ledger_entry (source_id, n, posted_month, source_kind, posted_on,
               legal_entity_id, account_id, ledger_account, currency, amount_minor)
           SELECT %(source)s, e.n, %(month)s, %(kind)s, %(on)s, %(entity)s, %(account)s, e.name, %(currency)s,
                  e.amount
           FROM unnest(%(names)s::text[], %(amounts)s::bigint[]) WITH ORDINALITY AS e (name, amount, n)""",
        {
            "source": transaction.source_id,
            "month": transaction.posted_on.replace(day=1),
            "kind": transaction.source_kind,
            "on": transaction.posted_on,
            "entity": transaction.legal_entity_id,
            "account": transaction.account_id,
            "currency": transaction.currency,
            "names": [name for name, _ in transaction.entries],
            "amounts": [amount for _, amount in transaction.entries],
        },
    )


def insert_opening(
    connection: Connection,
    *,
    invoice_id: UUID,
    account_id: UUID,
    number: str,
    legal_entity_id: UUID,
    brand_id: UUID,
    day: date,
    currency: str,
    tax_class: str,
    amount_minor: int,
) -> None:
    """The document that carries a balance taken over: no tax (it was taxed before), no run, no line."""
    execute(
        connection,
        """INSERT INTO billing.invoice (id, number, account_id, kind, revision, legal_entity_id, brand_id,
               period_from, period_to, invoice_date, due_date, currency, tax_class, net_minor, tax_minor,
               total_minor, open_minor, posted_month)
           VALUES (%(id)s, %(number)s, %(account)s, 'opening', 0, %(entity)s, %(brand)s, %(day)s, %(day)s,
               %(day)s, %(day)s, %(currency)s, %(tax_class)s, %(amount)s, 0, %(amount)s, %(amount)s,
               %(month)s)""",
        {
            "id": invoice_id,
            "number": number,
            "account": account_id,
            "entity": legal_entity_id,
            "brand": brand_id,
            "day": day,
            "currency": currency,
            "tax_class": tax_class,
            "amount": amount_minor,
            "month": day.replace(day=1),
        },
    )

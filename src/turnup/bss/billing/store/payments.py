"""Payments, what they settle, and what an account still owes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from turnup.bss.billing import tables
from turnup.bss.billing.model import CreditSource, OpenInvoice, Settlement
from turnup.bss.billing.store.bulk import execute, rows
from turnup.contracts.billing import PaymentView, SettledView
from turnup.kernel.ids import AccountId, InvoiceId, PaymentId
from turnup.runtime.rows import Listing, Rows, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """`source_key` makes it count once; `account_id` None: nobody knows yet whose it is, see `reason`."""

    id: UUID
    account_id: UUID | None
    legal_entity_id: UUID | None
    amount_minor: int
    currency: str
    method: str
    reference: str
    received_on: date
    source_key: str
    reason: str = ""


def insert_payment(connection: Connection, new: NewPayment) -> bool:
    """False if a payment with this source key is there already."""
    return bool(
        execute(
            connection,
            """INSERT INTO billing.payment (id, account_id, legal_entity_id, amount_minor, currency, method,
                   reference, received_on, source_key, state, reason, unallocated_minor)
               VALUES (%(id)s, %(account)s, %(entity)s, %(amount)s, %(currency)s, %(method)s, %(reference)s,
                   %(on)s, %(key)s, %(state)s, %(reason)s, %(amount)s) ON CONFLICT (source_key) DO NOTHING""",
            {
                "id": new.id,
                "account": new.account_id,
                "entity": new.legal_entity_id,
                "amount": new.amount_minor,
                "currency": new.currency,
                "method": new.method,
                "reference": new.reference,
                "on": new.received_on,
                "key": new.source_key,
                "state": "matched" if new.account_id else "unmatched",
                "reason": new.reason,
            },
        )
    )


def payment_content(connection: Connection, source_key: str) -> tuple[UUID, UUID | None, int, str]:
    """(id, account, amount, currency) of the payment with this key."""
    found = rows(
        connection,
        "SELECT id, account_id, amount_minor, currency FROM billing.payment WHERE source_key = %(key)s",
        {"key": source_key},
    )
    payment_id, account_id, amount, currency = found[0]
    return payment_id, account_id, amount, currency


def accounts_with_credit(connection: Connection, first: UUID, last: UUID) -> list[AccountId]:
    """Accounts of a range that have money left over from payments or negative invoices."""
    found = rows(
        connection,
        """SELECT account_id FROM billing.payment
           WHERE unallocated_minor > 0 AND account_id BETWEEN %(first)s AND %(last)s
           UNION SELECT account_id FROM billing.invoice
           WHERE open_minor < 0 AND account_id BETWEEN %(first)s AND %(last)s ORDER BY 1""",
        {"first": first, "last": last},
    )
    return [AccountId(row[0]) for row in found]


def lock_open_items(
    connection: Connection, account_id: AccountId
) -> tuple[list[CreditSource], list[OpenInvoice]]:
    """What an account has left over and what it owes; the account is locked until the transaction ends."""
    one = {"account": account_id}
    rows(connection, "SELECT id FROM billing.account WHERE id = %(account)s FOR UPDATE", one)
    sources = rows(
        connection,
        """SELECT 'payment', id, received_on, unallocated_minor FROM billing.payment
           WHERE account_id = %(account)s AND unallocated_minor > 0
           UNION ALL SELECT 'invoice', id, invoice_date, -open_minor FROM billing.invoice
           WHERE account_id = %(account)s AND open_minor < 0""",
        one,
    )
    owed = rows(
        connection,
        """SELECT id, due_date, open_minor FROM billing.invoice
           WHERE account_id = %(account)s AND open_minor > 0""",
        one,
    )
    return [CreditSource(*row) for row in sources], [
        OpenInvoice(InvoiceId(row[0]), row[1], row[2]) for row in owed
    ]


def record_settlements(connection: Connection, settled: Sequence[Settlement], now: datetime) -> None:
    for each in settled:
        facts = {
            "kind": each.source.kind,
            "source": each.source.id,
            "invoice": each.invoice_id,
            "amount": each.amount_minor,
            "now": now,
        }
        execute(
            connection,
            """INSERT INTO billing.allocation (source_kind, source_id, invoice_id, amount_minor, at)
               VALUES (%(kind)s, %(source)s, %(invoice)s, %(amount)s, %(now)s)""",
            facts,
        )
        execute(
            connection,
            "UPDATE billing.invoice SET open_minor = open_minor - %(amount)s WHERE id = %(invoice)s",
            facts,
        )
        spent = (
            "UPDATE billing.payment SET unallocated_minor = unallocated_minor - %(amount)s"
            if each.source.kind == "payment"
            else "UPDATE billing.invoice SET open_minor = open_minor + %(amount)s"
        )
        execute(connection, f"{spent} WHERE id = %(source)s", facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPayment:
    """A payment as it is kept. `account_id` None: unmatched, and `reason` says why."""

    id: UUID
    account_id: UUID | None
    amount_minor: int
    currency: str
    reference: str
    received_on: date
    reason: str


_payment, _allocation = tables.payment.c, tables.allocation.c
_PAYMENTS = Listing(
    {
        "id": _payment.id,
        "account": _payment.account_id,
        "reference": _payment.reference,
        "received_on": _payment.received_on,
        "currency": _payment.currency,
    },
    identity="id",
    sortable=["received_on"],
)
_BOOKED = select(tables.payment).where(_payment.state == "matched")


def payment_rows(connection: Connection, wanted: Wanted) -> Rows[PaymentView]:
    """A page of the payments that are booked, for lists."""
    return _PAYMENTS.rows(connection, _BOOKED, wanted, lambda found: _views(connection, found))


def booked(connection: Connection, payment_id: PaymentId) -> PaymentView | None:
    found = connection.execute(_BOOKED.where(_payment.id == payment_id)).all()
    return next(iter(_views(connection, found)), None)


def _views(connection: Connection, found: Sequence[Any]) -> list[PaymentView]:
    settled: dict[UUID, list[SettledView]] = {row.id: [] for row in found}
    allocations = (
        select(_allocation.source_id, _allocation.invoice_id, _allocation.amount_minor)
        .where(_allocation.source_kind == "payment", _allocation.source_id.in_(list(settled)))
        .order_by(_allocation.at, _allocation.invoice_id)
    )
    for source_id, invoice_id, amount in connection.execute(allocations):
        settled[source_id].append(SettledView(invoice_id=InvoiceId(invoice_id), amount_minor=amount))
    return [
        PaymentView(
            id=PaymentId(row.id),
            account_id=AccountId(row.account_id),
            amount_minor=row.amount_minor,
            currency=row.currency,
            method=row.method,
            reference=row.reference,
            received_on=row.received_on,
            settled=tuple(settled[row.id]),
        )
        for row in found
    ]


_KNOWN = """SELECT id, account_id, amount_minor, currency, reference, received_on, reason
    FROM billing.payment"""


def payment(connection: Connection, payment_id: UUID) -> KnownPayment | None:
    found = rows(connection, f"{_KNOWN} WHERE id = %(id)s", {"id": payment_id})
    return _known(found[0]) if found else None


def unmatched(connection: Connection, *, offset: int, limit: int) -> tuple[list[KnownPayment], int]:
    """Payments that belong to nobody yet, the oldest first: a page of them, and how many there are."""
    counted = rows(connection, "SELECT count(*) FROM billing.payment WHERE state = 'unmatched'", {})
    found = rows(
        connection,
        f"{_KNOWN} WHERE state = 'unmatched' ORDER BY received_on, id OFFSET %(offset)s LIMIT %(limit)s",
        {"offset": offset, "limit": limit},
    )
    return [_known(row) for row in found], counted[0][0]


def newest_of(connection: Connection, accounts: Sequence[AccountId], limit: int) -> list[PaymentView]:
    """Payments of these accounts, the latest first."""
    newest = (
        _BOOKED.where(_payment.account_id.in_(accounts))
        .order_by(_payment.received_on.desc(), _payment.id.desc())
        .limit(limit)
    )
    return _views(connection, connection.execute(newest).all())


def _known(row: Sequence[Any]) -> KnownPayment:
    payment_id, account_id, amount, currency, reference, received_on, reason = row
    return KnownPayment(
        id=payment_id,
        account_id=account_id,
        amount_minor=amount,
        currency=currency,
        reference=reference,
        received_on=received_on,
        reason=reason,
    )


def take_unmatched(connection: Connection, payment_id: UUID) -> NewPayment | None:
    """Remove an unmatched payment from the queue, to be booked under the same key."""
    found = rows(
        connection,
        """DELETE FROM billing.payment WHERE id = %(id)s AND state = 'unmatched'
           RETURNING amount_minor, currency, method, reference, received_on, source_key""",
        {"id": payment_id},
    )
    if not found:
        return None
    amount, currency, method, reference, received_on, key = found[0]
    return NewPayment(
        id=payment_id,
        account_id=None,
        legal_entity_id=None,
        amount_minor=amount,
        currency=currency,
        method=method,
        reference=reference,
        received_on=received_on,
        source_key=key,
    )


def record_file(
    connection: Connection,
    digest: str,
    name: str,
    rows_read: int,
    matched: int,
    unmatched: int,
    now: datetime,
    actor: str,
) -> None:
    execute(
        connection,
        """INSERT INTO billing.payment_file (sha256, name, rows, matched, unmatched, imported_at, actor)
           VALUES (%(digest)s, %(name)s, %(rows)s, %(matched)s, %(unmatched)s, %(now)s, %(actor)s)
           ON CONFLICT (sha256) DO NOTHING""",
        {
            "digest": digest,
            "name": name,
            "rows": rows_read,
            "matched": matched,
            "unmatched": unmatched,
            "now": now,
            "actor": actor,
        },
    )

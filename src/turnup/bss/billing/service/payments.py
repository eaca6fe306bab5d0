"""Payments: one by one or from a file; each counts once and pays the oldest invoice first."""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from io import StringIO
from uuid import UUID

from turnup.bss.billing.model import DunningPolicy
from turnup.bss.billing.service.dunning import release_paid
from turnup.bss.billing.service.settling import settle
from turnup.bss.billing.store import accounts, documents, ledger, payments
from turnup.contracts.billing import PaymentReceived
from turnup.contracts.unit import Unit
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import AccountId, PaymentId, derived_id
from turnup.kernel.money import Money

_COLUMNS = ("date", "reference", "amount")


@dataclass(frozen=True, slots=True)
class FileImport:
    """What became of a payment file's rows; `repeated` were imported before."""

    rows: int
    matched: int
    unmatched: int
    repeated: int
    reasons: tuple[str, ...]


def pay(
    unit: Unit,
    account_id: AccountId,
    amount_minor: int,
    currency: str,
    reference: str,
    received_on: date,
    policies: Mapping[str, DunningPolicy],
) -> PaymentId:
    """Take in one payment. The same reference again is the same payment; with other content it is refused."""
    account = accounts.find_account(unit.connection, account_id)
    if account is None:
        raise NotFound(f"billing knows no account {account_id}", field="account", remedy="check the number")
    _check_amount(account, amount_minor, currency)
    key = f"manual:{reference}"
    payment_id = _receive(unit, account, amount_minor, "manual", reference, received_on, key, policies)
    if payment_id is not None:
        return payment_id
    known, *content = payments.payment_content(unit.connection, key)
    if content != [account_id, amount_minor, currency]:
        raise Conflict(
            f"a different payment with reference {reference!r} was taken in already",
            field="reference",
            remedy="give each payment its own reference",
        )
    return PaymentId(known)


def _check_amount(account: accounts.AccountRow, amount_minor: int, currency: str) -> None:
    if amount_minor <= 0:
        raise InvalidInput("a payment must be more than nothing", field="amount", remedy="check the sign")
    if currency != account.currency:
        raise InvalidInput(
            f"account {account.number} is kept in {account.currency}, not {currency}",
            field="currency",
            remedy="convert the payment first",
        )


def _receive(
    unit: Unit,
    account: accounts.AccountRow,
    amount_minor: int,
    method: str,
    reference: str,
    received_on: date,
    key: str,
    policies: Mapping[str, DunningPolicy],
) -> PaymentId | None:
    """Book, settle, release, tell. None if it was taken in before."""
    payment_id = PaymentId(derived_id("payment", key))
    new = payments.NewPayment(
        id=payment_id,
        account_id=account.id,
        legal_entity_id=account.legal_entity_id,
        amount_minor=amount_minor,
        currency=account.currency,
        method=method,
        reference=reference,
        received_on=received_on,
        source_key=key,
    )
    if not payments.insert_payment(unit.connection, new):
        return None
    ledger.post(
        unit.connection,
        ledger.Transaction(
            source_kind="payment",
            source_id=payment_id,
            posted_on=received_on,
            legal_entity_id=account.legal_entity_id,
            account_id=account.id,
            currency=account.currency,
            entries=[("bank", amount_minor), ("receivable", -amount_minor)],
        ),
    )
    settle(unit, account.id)
    release_paid(unit, policies, account.id)
    unit.emit(
        PaymentReceived(
            account_id=account.id,
            payment_id=payment_id,
            amount_minor=amount_minor,
            currency=account.currency,
            at=unit.now,
        )
    )
    unit.audit("payment.received", payment_id, after={"amount_minor": amount_minor, "method": method})
    return payment_id


def import_file(
    unit: Unit, name: str, content: bytes, currency: str, policies: Mapping[str, DunningPolicy]
) -> FileImport:
    """A CSV of `date,reference,amount`; the reference names an invoice or an account. The same file again
    changes nothing; a row nobody can place is kept with its reason."""
    digest = hashlib.sha256(content).hexdigest()
    outcomes = [
        _import_row(unit, row, n, digest, currency, policies) for n, row in enumerate(_rows(content), start=1)
    ]
    result = FileImport(
        rows=len(outcomes),
        matched=sum(outcome is True for outcome in outcomes),
        unmatched=sum(isinstance(outcome, str) for outcome in outcomes),
        repeated=sum(outcome is None for outcome in outcomes),
        reasons=tuple(outcome for outcome in outcomes if isinstance(outcome, str)),
    )
    payments.record_file(
        unit.connection, digest, name, result.rows, result.matched, result.unmatched, unit.now, unit.actor
    )
    return result


def _rows(content: bytes) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(StringIO(content.decode("utf-8-sig")), strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(
            f"not a CSV file in UTF-8: {error}", field="file", remedy="export it again"
        ) from error
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidInput(
            f"column {missing[0]!r} is missing", field="file", remedy=f"the columns are {', '.join(_COLUMNS)}"
        )
    return rows


def _import_row(
    unit: Unit,
    row: Mapping[str, str],
    n: int,
    digest: str,
    currency: str,
    policies: Mapping[str, DunningPolicy],
) -> bool | str | None:
    """True: booked; None: known already; text: kept unmatched, and why."""
    where = f"row {n}"
    try:
        received_on = date.fromisoformat(row["date"].strip())
    except (ValueError, AttributeError) as error:
        raise InvalidInput(
            f"{row['date']!r} is no date",
            field=f"{where}.date",
            remedy="write 2026-01-31; nothing was imported",
        ) from error
    amount = _amount(row["amount"], currency, where)
    reference, key = (row["reference"] or "").strip(), f"file:{digest}:{n}"
    account = _account_of(unit, reference)
    reason = _why_unmatched(account, reference, currency)
    if account is not None and reason is None:
        booked = _receive(unit, account, amount, "file", reference, received_on, key, policies)
        return True if booked else None
    new = payments.NewPayment(
        id=derived_id("payment", key),
        account_id=None,
        legal_entity_id=None,
        amount_minor=amount,
        currency=currency,
        method="file",
        reference=reference,
        received_on=received_on,
        source_key=key,
        reason=reason or "",
    )
    return f"{where}: {reason}" if payments.insert_payment(unit.connection, new) else None


def _amount(text: str, currency: str, where: str) -> int:
    try:
        minor = Money.parse((text or "").strip(), currency).minor
    except InvalidInput as error:
        raise InvalidInput(error.message, field=f"{where}.amount", remedy=error.remedy) from error
    if minor <= 0:
        raise InvalidInput(
            "a payment must be more than nothing", field=f"{where}.amount", remedy="remove the row"
        )
    return minor


def _account_of(unit: Unit, reference: str) -> accounts.AccountRow | None:
    invoice = documents.invoice_by_number(unit.connection, reference)
    if invoice is not None:
        return accounts.find_account(unit.connection, invoice.account_id)
    return accounts.find_account_by_number(unit.connection, reference)


def _why_unmatched(account: accounts.AccountRow | None, reference: str, currency: str) -> str | None:
    if account is None:
        return f"no invoice or account has the number {reference!r}"
    if account.currency != currency:
        return f"account {account.number} is kept in {account.currency}, the payment is in {currency}"
    return None


def _check_assigned(
    known: payments.KnownPayment | None, payment_id: UUID, account: accounts.AccountRow
) -> None:
    if known is None:
        raise NotFound(f"there is no payment {payment_id}", field="payment", remedy="turnup bill unmatched")
    if known.account_id != account.id:
        raise Conflict(
            f"payment {payment_id} is another account's already",
            field="payment",
            remedy="a payment booked wrongly is refunded, not moved",
        )


def assign(
    unit: Unit, payment_id: UUID, account_id: AccountId, policies: Mapping[str, DunningPolicy]
) -> None:
    """Somebody knows whose an unmatched payment is: book it. Again to the same account changes nothing;
    Conflict when it is another's already."""
    account = accounts.find_account(unit.connection, account_id)
    if account is None:
        raise NotFound(f"billing knows no account {account_id}", field="account", remedy="check the number")
    waiting = payments.take_unmatched(unit.connection, payment_id)
    if waiting is None:
        _check_assigned(payments.payment(unit.connection, payment_id), payment_id, account)
        return
    _check_amount(account, waiting.amount_minor, waiting.currency)
    _receive(
        unit,
        account,
        waiting.amount_minor,
        waiting.method,
        waiting.reference,
        waiting.received_on,
        waiting.source_key,
        policies,
    )

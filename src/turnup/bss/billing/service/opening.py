"""Balances taken over from a former system."""

from datetime import date

from turnup.bss.billing.store import ledger
from turnup.bss.billing.store.accounts import AccountRow
from turnup.contracts.unit import Unit
from turnup.kernel.ids import derived_id


def post_opening_balance(unit: Unit, account: AccountRow, balance_minor: int, day: date) -> None:
    """A debt (+) is due at once, a credit (-) is used for the next invoices."""
    invoice_id = derived_id("invoice", account.id, "opening")
    ledger.insert_opening(
        unit.connection,
        invoice_id=invoice_id,
        account_id=account.id,
        number=f"OPEN-{account.number}",
        legal_entity_id=account.legal_entity_id,
        brand_id=account.brand_id,
        day=day,
        currency=account.currency,
        tax_class=account.tax_class,
        amount_minor=balance_minor,
    )
    ledger.post(
        unit.connection,
        ledger.Transaction(
            source_kind="opening",
            source_id=invoice_id,
            posted_on=day,
            legal_entity_id=account.legal_entity_id,
            account_id=account.id,
            currency=account.currency,
            entries=[("receivable", balance_minor), ("opening_balance", -balance_minor)],
        ),
    )

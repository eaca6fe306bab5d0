"""Settling: what an account has left over pays what it owes."""

from turnup.bss.billing.rules.allocation import oldest_first
from turnup.bss.billing.store import payments
from turnup.contracts.unit import Unit
from turnup.kernel.ids import AccountId


def settle(unit: Unit, account_id: AccountId) -> int:
    """Use payments and credit left over for open invoices, oldest first; returns the minor units settled."""
    sources, invoices = payments.lock_open_items(unit.connection, account_id)
    settled = oldest_first(sources, invoices)
    payments.record_settlements(unit.connection, settled, unit.now)
    return sum(each.amount_minor for each in settled)

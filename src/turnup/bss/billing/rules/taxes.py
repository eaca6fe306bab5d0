"""Which tax rate applies: by the account's class, the price's category and a day."""

from collections.abc import Iterable
from datetime import date

from turnup.bss.billing.model import TaxRate


def rate_ppm(rates: Iterable[TaxRate], tax_class: str, category: str, day: date) -> int | None:
    """The rate in force that day in ppm, or None: then the account cannot be billed and is parked."""
    in_force = [
        rate
        for rate in rates
        if (rate.tax_class, rate.category) == (tax_class, category) and rate.valid_from <= day
    ]
    return max(in_force, key=lambda rate: rate.valid_from).rate_ppm if in_force else None

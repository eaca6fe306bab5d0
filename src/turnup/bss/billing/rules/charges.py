"""From an agreed charge to billing's own terms: units become octets, periods months."""

from datetime import date

from turnup.bss.billing.model import AgreedCharge, ChargeKind
from turnup.contracts.orders import Charge, PriceAgreed
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import derived_id
from turnup.kernel.periods import BillCycle

UNIT_OCTETS = {
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_MICRO = 10**6


def agreement_rows(event: PriceAgreed) -> tuple[AgreedCharge, ...]:
    """The charges of an agreement; a product taken over brings no one-time charges. Ids are derived."""
    return tuple(
        _agreed(event, charge)
        for charge in event.charges
        if not (event.adopted and charge.kind == ChargeKind.ONE_TIME)
    )


def _agreed(event: PriceAgreed, charge: Charge) -> AgreedCharge:
    if charge.kind not in list(ChargeKind):
        raise InvalidInput(
            f"{charge.kind!r} is no kind of charge",
            field=f"charges.{charge.code}.kind",
            remedy="use one_time, recurring or usage",
        )
    octets = _unit_octets(charge) if charge.kind == ChargeKind.USAGE else None
    return AgreedCharge(
        id=derived_id("agreement", event.product_id, event.revision, charge.code),
        code=charge.code,
        name=charge.name,
        kind=charge.kind,
        amount_micro=charge.amount_micro,
        currency=charge.currency,
        tax_category=charge.tax_category,
        months=charge.period_months or 1,
        in_advance=charge.in_advance,
        unit=charge.unit,
        unit_octets=octets,
        included_octets=None if octets is None else charge.included_micro * octets // _MICRO,
        cycles=charge.cycles,
    )


def ends_on(start: date, cycles: int, cycle_day: int) -> date:
    """The first day no longer owed of a charge that runs for `cycles` bill cycles from `start`. A part of a
    cycle at the beginning is one of them. What is left follows from what was billed: nothing counts down."""
    cycle = BillCycle(cycle_day)
    end = start
    for _ in range(cycles):
        end = cycle.boundary_after(end)
    return end


def _unit_octets(charge: Charge) -> int:
    if charge.unit not in UNIT_OCTETS:
        raise InvalidInput(
            f"usage cannot be charged per {charge.unit!r}",
            field=f"charges.{charge.code}.unit",
            remedy=f"use one of {', '.join(UNIT_OCTETS)}",
        )
    return UNIT_OCTETS[charge.unit]

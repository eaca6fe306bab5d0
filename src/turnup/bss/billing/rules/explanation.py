"""How a line came about, told so that a person can check it by hand."""

from datetime import date, timedelta
from decimal import Decimal

from turnup.bss.billing.model import SHARE_SCALE, Derivation, LineKind
from turnup.kernel.money import Money, Rated

_DAY = timedelta(days=1)


def text(line: Derivation) -> str:
    """What the line charges, as the customer reads it."""
    if line.kind == LineKind.CREDIT:
        return f"Credit for an outage on {_days(line.served_from, line.served_to)}: {line.name}"
    if line.kind == LineKind.ONE_TIME:
        return f"{line.name}, {line.served_from.isoformat()}"
    return f"{line.name}, {_days(line.served_from, line.served_to)}"


def explanation(line: Derivation, currency: str) -> str:
    """The arithmetic of the line, every figure in it stored with the line when it was billed."""
    owed = Money(line.owed_minor, currency)
    steps = [f"{_arithmetic(line, currency)} = {owed} ({line.rounding.replace('_', ' ')})"]
    if line.owed_minor == 0 and line.numerator == 0:
        steps = ["no longer owed"]
    if line.billed_before_minor:
        net = Money(line.net_minor, currency)
        steps.append(f"{owed} less {Money(line.billed_before_minor, currency)} billed before = {net}")
    tax = Money(line.tax_minor, currency)
    steps.append(f"tax {_percent(line.tax_ppm)} of {Money(line.net_minor, currency)} = {tax}")
    return "; ".join(steps)


def _arithmetic(line: Derivation, currency: str) -> str:
    price = Rated(line.price_micro, currency)
    match line.kind:
        case LineKind.ONE_TIME:
            return f"{price} once, on {line.served_from.isoformat()}"
        case LineKind.RECURRING:
            return f"{price} per {_months(line.months)} x {_part(line)}"
        case LineKind.USAGE:
            return _usage(line, price)
        case _:
            minutes, share = line.quantity or 0, line.share_ppm or 0
            return f"outage of {minutes} minutes: {_percent(share)} of {price} per {_months(line.months)}"


def _part(line: Derivation) -> str:
    period = _days(line.period_from, line.period_to)
    if line.numerator == line.denominator:
        return f"the whole period ({period})"
    unit = f"{line.granularity}s"
    served = _days(line.served_from, line.served_to)
    return f"{line.numerator} of {line.denominator} {unit} (served {served}, period {period})"


def _usage(line: Derivation, price: Rated) -> str:
    size, used, free = line.unit_octets or 1, line.quantity or 0, line.included or 0
    charged = max(0, used - free)
    return (
        f"{_units(used, size)} {line.unit} used less {_units(free, size)} {line.unit} included"
        f" = {_units(charged, size)} {line.unit} x {price} per {line.unit}"
    )


def _units(octets: int, size: int) -> str:
    return f"{(Decimal(octets) / Decimal(size)).normalize():f}"


def _months(months: int) -> str:
    return {1: "month", 3: "quarter", 12: "year"}.get(months, f"{months} months")


def _percent(ppm: int) -> str:
    return f"{(Decimal(ppm) * 100 / SHARE_SCALE).normalize():f} %"


def _days(start: date, end: date) -> str:
    last = max(start, end - _DAY)
    return start.isoformat() if last == start else f"{start.isoformat()} to {last.isoformat()}"

"""An independent billing engine: naive, scalar, one account at a time, in Python ints and Fractions.

It imports nothing of billing and shares no idea with it but the conventions it states: monthly cycles on a
day of the month clamped to shorter months; whole local days, the day of a change belonging to what comes
after; commercial rounding per line; exclusive tax per line at the rate of the last day served; outage
credits per started unit, capped per agreement and bill period. It walks days where billing multiplies.
"""

import calendar
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Agreement:
    id: str
    service: str
    kind: str
    price_micro: int
    category: str = "standard"
    months: int = 1
    in_advance: bool = False
    unit_octets: int = 10**9
    included_octets: int = 0
    start: date | None = None
    end: date | None = None
    credit: str = "standard"


@dataclass(frozen=True)
class Credit:
    minimum_minutes: int
    per_minutes: int
    share: Fraction
    cap: Fraction


@dataclass(frozen=True)
class Outage:
    id: str
    service: str
    first_day: date
    last_day: date
    seconds: int


@dataclass(frozen=True)
class Account:
    """`served`: (first day, first day no longer served or None) per service. `billed`: net already billed by
    (agreement, kind, source, period start)."""

    cycle_day: int
    billed_through: date
    reopened_from: date | None
    agreements: Sequence[Agreement]
    served: Mapping[str, Sequence[tuple[date, date | None]]]
    usage: Sequence[tuple[str, date, int]] = ()
    outages: Sequence[Outage] = ()
    billed: Mapping[tuple[str, str, str | None, date], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    agreement: str
    kind: str
    source: str | None
    period_from: date
    net: int
    tax: int


def rounded(value: Fraction) -> int:
    """Half away from zero."""
    size = math.floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def boundary(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def is_boundary(day: date, cycle_day: int) -> bool:
    return day == boundary(day.year, day.month, cycle_day)


def start_of_period(day: date, cycle_day: int) -> date:
    while not is_boundary(day, cycle_day):
        day -= DAY
    return day


def end_of_period(day: date, cycle_day: int) -> date:
    day += DAY
    while not is_boundary(day, cycle_day):
        day += DAY
    return day


def lines(
    account: Account,
    bill_date: date,
    rates: Mapping[str, Sequence[tuple[date, Fraction]]],
    credits: Mapping[str, Credit],
) -> list[Line]:
    """The lines of the account's next invoice, in no particular order; monthly charges only."""
    close = start_of_period(bill_date, account.cycle_day)
    if close <= account.billed_through:
        return []
    since = min(account.billed_through, account.reopened_from or account.billed_through)
    owed: dict[tuple[str, str, str | None, date], tuple[int, date]] = {}
    begin = start_of_period(since, account.cycle_day)
    while begin <= close:
        finish = end_of_period(begin, account.cycle_day)
        for agreement in account.agreements:
            assert agreement.months == 1, "the oracle knows monthly charges only"
            advance = agreement.in_advance and agreement.kind == "recurring"
            wanted = begin > account.billed_through or account.reopened_from is not None
            if (wanted if advance else finish <= close) and finish > since:
                owed.update(_charge(account, agreement, begin, finish))
            if agreement.kind == "recurring" and finish <= close:
                owed.update(_credits(account, agreement, begin, finish, credits))
        begin = finish
    for key, _billed in account.billed.items():
        owed.setdefault(key, (0, end_of_period(key[3], account.cycle_day) - DAY))
    category = {agreement.id: agreement.category for agreement in account.agreements}
    result = []
    for key, (amount, last_day) in owed.items():
        net = amount - account.billed.get(key, 0)
        if net:
            rate = _rate(rates[category[key[0]]], last_day)
            result.append(Line(*key, net, rounded(net * rate)))
    return result


def _rate(rates: Iterable[tuple[date, Fraction]], day: date) -> Fraction:
    return max((since, rate) for since, rate in rates if since <= day)[1]


def _days(account: Account, agreement: Agreement, begin: date, finish: date) -> list[date]:
    """The days of the period on which the service is served under the agreement, found by looking at each."""
    found = []
    day = begin
    while day < finish:
        agreed = (agreement.start is None or day >= agreement.start) and (
            agreement.end is None or day < agreement.end
        )
        if agreed and _served(account, agreement.service, day):
            found.append(day)
        day += DAY
    return found


def _served(account: Account, service: str, day: date) -> bool:
    return any(start <= day and (end is None or day < end) for start, end in account.served.get(service, ()))


def _charge(
    account: Account, agreement: Agreement, begin: date, finish: date
) -> dict[tuple[str, str, str | None, date], tuple[int, date]]:
    days = _days(account, agreement, begin, finish)
    key = (agreement.id, agreement.kind, None, begin)
    share = Fraction(len(days), (finish - begin).days)
    if not days:
        return {}
    if agreement.kind == "recurring":
        return {key: (rounded(Fraction(agreement.price_micro, 10**6) * share), days[-1])}
    if agreement.kind == "one_time":
        first = _first_day(account, agreement)
        return (
            {key: (rounded(Fraction(agreement.price_micro, 10**6)), first)} if begin <= first < finish else {}
        )
    used = [
        octets
        for service, day, octets in account.usage
        if service == agreement.service and days[0] <= day <= days[-1]
    ]
    charged = max(0, sum(used) - math.floor(agreement.included_octets * share))
    amount = Fraction(agreement.price_micro * charged, agreement.unit_octets * 10**6)
    return {key: (rounded(amount), days[-1])} if used else {}


def _first_day(account: Account, agreement: Agreement) -> date:
    starts = [
        max(start, agreement.start or start)
        for start, end in account.served[agreement.service]
        if end is None or end > (agreement.start or start)
    ]
    return min(starts)


def _credits(
    account: Account, agreement: Agreement, begin: date, finish: date, credits: Mapping[str, Credit]
) -> dict[tuple[str, str, str | None, date], tuple[int, date]]:
    policy = credits[agreement.credit]
    left = policy.cap
    found = {}
    for outage in account.outages:
        minutes = outage.seconds // 60
        agreed = (agreement.start is None or outage.first_day >= agreement.start) and (
            agreement.end is None or outage.first_day < agreement.end
        )
        first_served = min(
            (start for start, _ in account.served.get(agreement.service, ())), default=date.max
        )
        hit = outage.service == agreement.service and begin <= outage.last_day < finish
        if not hit or not agreed or outage.first_day < first_served or minutes < policy.minimum_minutes:
            continue
        share = min(left, policy.share * math.ceil(Fraction(minutes, policy.per_minutes)))
        left -= share
        if share:
            amount = -rounded(Fraction(agreement.price_micro, 10**6) * share)
            found[(agreement.id, "credit", outage.id, begin)] = (amount, outage.last_day)
    return found

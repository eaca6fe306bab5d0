"""Which charge periods a bill run looks at, and how long they are: one call per distinct key, not account."""

from dataclasses import dataclass
from datetime import date

from turnup.bss.billing.model import Granularity
from turnup.kernel.clock import start_of_day
from turnup.kernel.periods import BillCycle, Period, month_index


@dataclass(frozen=True, slots=True)
class Window:
    """What shapes the periods of a charge in one run.

    `anchor` is a date in the first charge period (longer cycles keep its month). `since` is the day from
    which the account must be looked at again: its billed-through date, or an earlier day if late facts came.
    `reopened` says that such facts came: then also periods already billed in advance are looked at again,
    and what was billed for them is subtracted.
    """

    cycle_day: int
    months: int
    anchor: date
    in_advance: bool
    since: date
    billed_through: date
    reopened: bool
    close: date


def bill_period(cycle_day: int, bill_date: date) -> Period:
    """The account's running bill period on the bill date; its start is the boundary a run closes at."""
    return BillCycle(cycle_day).period_containing(bill_date)


def charge_periods(window: Window) -> tuple[Period, ...]:
    """The periods billed: in arrears those that ended by the close, in advance those that begin by it."""
    cycle = BillCycle(window.cycle_day, window.months, _anchor_month(window))
    if window.in_advance:
        periods = cycle.periods(window.since, cycle.boundary_after(window.close))
        return tuple(p for p in periods if p.start <= window.close and _new_or_reopened(p, window))
    return tuple(p for p in cycle.periods(window.since, window.close) if p.end <= window.close)


def _new_or_reopened(period: Period, window: Window) -> bool:
    return period.start > window.billed_through or (window.reopened and period.end > window.since)


def _anchor_month(window: Window) -> int:
    if window.months == 1:
        return 0
    return month_index(BillCycle(window.cycle_day).boundary_on_or_before(window.anchor))


def length(period: Period, zone: str, granularity: Granularity) -> int:
    """The denominator of a proration: the aligned reference period in days, or in seconds of that zone."""
    return period.days if granularity is Granularity.DAY else period.seconds(zone)


def epoch(day: date, zone: str) -> int:
    """The instant at which a local day begins, in Unix seconds."""
    return int(start_of_day(day, zone).timestamp())

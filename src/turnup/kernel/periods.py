"""Half-open periods of local dates, and the bill cycles that lay them out.

A `Period` is `[start, end)`: two periods that meet share no day and leave none out. A `BillCycle` is a grid
of boundaries: a nominal day of the month, clamped to the end of shorter months and returning to itself in
longer ones, every `months` months. Dates are local dates of the billing account's zone; `Period.seconds` is
where daylight saving shows. Pure.
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from turnup.kernel.clock import start_of_day
from turnup.kernel.errors import InvalidInput


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The days from `start` up to, not including, `end`."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise InvalidInput(
                f"a period must end after it starts, not {self.start} to {self.end}",
                field="end",
                remedy="the end is the first day that no longer belongs to the period",
            )

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def seconds(self, zone: str) -> int:
        """How long the period lasts in `zone`; a day may have 23 or 25 hours."""
        return int((start_of_day(self.end, zone) - start_of_day(self.start, zone)).total_seconds())

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def split(self, days: Iterable[date]) -> tuple["Period", ...]:
        """Cut at each of `days` inside the period; a cut day begins the later part."""
        cuts = sorted({day for day in days if self.start < day < self.end})
        edges = [self.start, *cuts, self.end]
        return tuple(Period(a, b) for a, b in pairwise(edges))

    def __str__(self) -> str:
        return f"{self.start.isoformat()}..{self.end.isoformat()}"


def month_index(day: date) -> int:
    """Months since year 0: consecutive months have consecutive numbers."""
    return day.year * 12 + day.month - 1


def clamped(index: int, day: int) -> date:
    """The date in month `index` with the nominal `day`, or that month's last."""
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day, monthrange(year, month + 1)[1]))


@dataclass(frozen=True, slots=True)
class BillCycle:
    """Boundaries on the nominal `day` (1-31) of every `months`-th month.

    `anchor` is the index of any month (see `month_index`) that has a boundary; it matters for cycles longer
    than a month. A calendar cycle has day 1; an anniversary cycle comes from `anniversary`.
    """

    day: int
    months: int = 1
    anchor: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.day <= 31:
            raise InvalidInput(f"no month has a day {self.day}", field="cycle_day", remedy="use 1 to 31")
        if self.months < 1:
            raise InvalidInput(
                f"a cycle of {self.months} months", field="months", remedy="use 1 for monthly, 12 for yearly"
            )

    @classmethod
    def anniversary(cls, start: date, months: int = 1) -> "BillCycle":
        """The cycle with a boundary on `start` and on the same nominal day ever after."""
        return cls(start.day, months, month_index(start))

    def period_containing(self, day: date) -> Period:
        index = month_index(day)
        index -= (index - self.anchor) % self.months
        if clamped(index, self.day) > day:
            index -= self.months
        return Period(clamped(index, self.day), clamped(index + self.months, self.day))

    def boundary_on_or_before(self, day: date) -> date:
        return self.period_containing(day).start

    def boundary_after(self, day: date) -> date:
        return self.period_containing(day).end

    def periods(self, start: date, end: date) -> Iterator[Period]:
        """The periods of the grid that have a day in `[start, end)`, in order."""
        while start < end:
            period = self.period_containing(start)
            yield period
            start = period.end

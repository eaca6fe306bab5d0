"""Instants and business dates.

An instant is a timezone-aware datetime in UTC. A business date is the local calendar date in the zone of
the billing account. The clock is always passed in: rules get `now` as an argument, never ask for it.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Tells the present instant, in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  the one place that asks the machine


class ManualClock:
    """A clock that stands still until moved; for tests and rehearsals."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, step: timedelta) -> None:
        self._now += step


def business_date(instant: datetime, zone: str) -> date:
    """The calendar date at `instant` in the IANA zone `zone`."""
    return instant.astimezone(ZoneInfo(zone)).date()


def start_of_day(day: date, zone: str) -> datetime:
    """The UTC instant at which `day` begins in `zone` (the earlier one where midnight happens twice)."""
    return datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC)


def iso_utc(instant: datetime) -> str:
    """RFC 3339 text in UTC with `Z`, as the TM Forum schemas want it."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

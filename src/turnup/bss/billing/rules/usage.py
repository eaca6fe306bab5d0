"""Whose day traffic belongs to: a counter's interval may cross midnight, and with it a bill boundary."""

from datetime import date, datetime, timedelta

from turnup.kernel.clock import business_date, start_of_day

_LONGEST = timedelta(days=92)
"""No accounting is silent for longer and right about the time; a broken clock is not split up."""


def days_of(started_at: datetime, ended_at: datetime, octets: int, zone: str) -> list[tuple[date, int]]:
    """(local day, octets) of an interval, in order: each day its share of the time, to the octet. What an
    interval of no length, or of a broken clock, counted belongs to the day it began on."""
    first = business_date(started_at, zone)
    length = ended_at - started_at
    if not timedelta(0) < length <= _LONGEST:
        return [(first, octets)]
    found: list[tuple[date, int]] = []
    told, day = 0, first
    while told < octets or not found:
        following = day + timedelta(days=1)
        until = min(start_of_day(following, zone), ended_at)
        upto = (
            octets
            * ((until - started_at) // timedelta(microseconds=1))
            // (length // timedelta(microseconds=1))
        )
        if upto > told or not found:
            found.append((day, upto - told))
        told, day = upto, following
    return found

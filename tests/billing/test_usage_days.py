"""An interval's octets on the local days it spans: all of them, to the octet, and none on another day."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from turnup.bss.billing.rules.usage import days_of
from turnup.kernel.clock import business_date

BERLIN = "Europe/Berlin"
zones = st.sampled_from([BERLIN, "America/St_Johns", "Africa/Cairo", "Pacific/Apia", "UTC"])
instants = st.integers(0, 20 * 366 * 86400 * 1000).map(
    lambda ms: datetime(2011, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
lengths = st.timedeltas(timedelta(0), timedelta(days=100))


@given(instants, lengths, st.integers(0, 2**62), zones)
def test_every_octet_has_one_day_within_the_interval(
    start: datetime, length: timedelta, octets: int, zone: str
) -> None:
    found = days_of(start, start + length, octets, zone)
    days = [day for day, _ in found]
    assert sum(share for _, share in found) == octets
    assert days == sorted(set(days)) and days[0] == business_date(start, zone)
    assert days[-1] <= business_date(start + length, zone)
    assert all(share > 0 for _, share in found[1:]) and found[0][1] >= 0


@given(instants, lengths, st.integers(0, 2**62), zones)
def test_half_an_interval_has_half_of_it(start: datetime, length: timedelta, octets: int, zone: str) -> None:
    """Who splits the interval first gets the same days, but for roundings."""
    middle = start + length / 2
    whole = dict(days_of(start, start + length, octets, zone))
    if length > timedelta(days=92):
        assert whole == {business_date(start, zone): octets}
        return
    halves: dict[date, int] = {}
    for begin, end, share in ((start, middle, octets // 2), (middle, start + length, octets - octets // 2)):
        for day, part in days_of(begin, end, share, zone):
            halves[day] = halves.get(day, 0) + part
    slack = 4 + octets // max(1, length // timedelta(microseconds=1))
    assert all(abs(whole.get(day, 0) - halves.get(day, 0)) <= slack for day in {*whole, *halves})


def test_the_night_of_the_bill() -> None:
    midnight = datetime(2026, 7, 1, tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)
    minutes = timedelta(minutes=1)
    assert days_of(midnight - 3 * minutes, midnight + 7 * minutes, 1001, BERLIN) == [
        (date(2026, 6, 30), 300),
        (date(2026, 7, 1), 701),
    ]
    assert days_of(midnight - 3 * minutes, midnight, 10, BERLIN) == [(date(2026, 6, 30), 10)]
    assert days_of(midnight, midnight, 10, BERLIN) == [(date(2026, 7, 1), 10)]

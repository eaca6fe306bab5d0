"""Half-open periods and bill cycles: clamping, leap years, daylight saving, cuts."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.kernel.errors import InvalidInput
from turnup.kernel.periods import BillCycle, Period, month_index

days = st.dates(date(1990, 1, 1), date(2090, 1, 1))
cycles = st.builds(
    BillCycle, st.integers(1, 31), st.sampled_from([1, 2, 3, 6, 12]), st.integers(24000, 24011)
)


def test_the_31st_is_clamped_and_comes_back() -> None:
    cycle = BillCycle.anniversary(date(2022, 12, 31))
    starts = [p.start for p in cycle.periods(date(2022, 12, 31), date(2024, 4, 1))]
    assert starts[:4] == [date(2022, 12, 31), date(2023, 1, 31), date(2023, 2, 28), date(2023, 3, 31)]
    assert date(2024, 2, 29) in starts


def test_a_28_february_start_is_not_a_month_end_rule() -> None:
    starts = [
        p.start for p in BillCycle.anniversary(date(2022, 2, 28)).periods(date(2022, 2, 28), date(2022, 5, 1))
    ]
    assert starts == [date(2022, 2, 28), date(2022, 3, 28), date(2022, 4, 28)]


def test_a_yearly_cycle_keeps_its_29_february() -> None:
    cycle = BillCycle.anniversary(date(2024, 2, 29), months=12)
    assert cycle.period_containing(date(2025, 6, 1)) == Period(date(2025, 2, 28), date(2026, 2, 28))
    assert cycle.period_containing(date(2028, 2, 29)).start == date(2028, 2, 29)


@given(cycles, days)
def test_the_grid_has_each_day_once(cycle: BillCycle, day: date) -> None:
    period = cycle.period_containing(day)
    assert day in period
    assert cycle.period_containing(period.end).start == period.end
    assert cycle.period_containing(period.start) == period
    assert cycle.period_containing(period.end - timedelta(1)) == period
    assert (month_index(period.end) - month_index(period.start)) == cycle.months
    assert cycle.boundary_on_or_before(day) <= day < cycle.boundary_after(day)


@given(days, st.integers(1, 400), st.lists(days, max_size=5))
def test_parts_sum_to_the_whole(start: date, length: int, cuts: list[date]) -> None:
    whole = Period(start, start + timedelta(length))
    parts = whole.split([*cuts, start + timedelta(length // 2)])
    assert sum(part.days for part in parts) == whole.days
    assert parts[0].start == whole.start
    assert parts[-1].end == whole.end
    assert all(a.end == b.start for a, b in pairwise(parts))


def test_a_cut_day_begins_the_later_part() -> None:
    parts = Period(date(2026, 6, 1), date(2026, 7, 1)).split([date(2026, 6, 11)])
    assert [part.days for part in parts] == [10, 20]
    assert date(2026, 6, 11) in parts[1]
    assert str(parts[0]) == "2026-06-01..2026-06-11"


def test_daylight_saving_shows_in_seconds_not_in_days() -> None:
    spring = Period(date(2026, 3, 29), date(2026, 3, 30))
    assert (spring.days, spring.seconds("Europe/Berlin"), spring.seconds("UTC")) == (1, 23 * 3600, 86400)
    assert Period(date(2026, 10, 25), date(2026, 10, 26)).seconds("Europe/Berlin") == 25 * 3600


def test_impossible_periods_and_cycles_are_refused() -> None:
    with pytest.raises(InvalidInput):
        Period(date(2026, 6, 1), date(2026, 6, 1))
    with pytest.raises(InvalidInput):
        BillCycle(32)
    with pytest.raises(InvalidInput):
        BillCycle(1, 0)

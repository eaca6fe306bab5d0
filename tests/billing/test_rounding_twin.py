"""The vectorised rounding equals kernel.money over negatives and extremes."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.bss.billing.frames.rounding import WIDE, divided, narrow, wide
from turnup.kernel.money import Rounding, divide

int64 = st.integers(-(2**63), 2**63 - 1)
edges = st.sampled_from([-(2**63), -(2**63) + 1, -3, -2, -1, 0, 1, 2, 3, 2**63 - 2, 2**63 - 1])
divisors = st.one_of(st.integers(1, 10), st.integers(1, 2**63 - 1), st.just(2**63 - 1))


@given(
    st.lists(st.tuples(st.one_of(int64, edges), st.one_of(int64, edges), divisors), min_size=1, max_size=20),
    st.sampled_from(Rounding),
)
def test_twin_equals_the_kernel(rows: list[tuple[int, int, int]], rounding: Rounding) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Int64, "d": pl.Int64}, orient="row")
    # A product of two Int64 is the widest numerator billing has; -2**63 squared is still below 2**127.
    got = frame.select(divided(wide(pl.col("a")) * pl.col("b"), wide(pl.col("d")), rounding)).to_series()
    assert got.dtype == WIDE
    assert got.to_list() == [divide(a * b, d, rounding) for a, b, d in rows]


@pytest.mark.parametrize("denominator", [0, -1])
def test_a_divisor_that_is_not_positive_gives_null(denominator: int) -> None:
    frame = pl.DataFrame({"a": [7], "d": [denominator]})
    assert frame.select(divided(pl.col("a"), pl.col("d"), Rounding.HALF_AWAY)).item() is None


def test_what_does_not_fit_becomes_null_not_another_number() -> None:
    frame = pl.DataFrame({"a": [2**62, 1]})
    assert frame.select(narrow(wide(pl.col("a")) * 4)).to_series().to_list() == [None, 4]

"""Money keeps every unit: arithmetic, rounding conventions, allocation."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.kernel.errors import InvalidInput
from turnup.kernel.money import Money, Rated, Rounding, divide

huge = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("numerator", "half_away", "half_even", "up", "down"),
    [
        (5, 3, 2, 3, 2),
        (-5, -3, -2, -3, -2),
        (3, 2, 2, 2, 1),
        (1, 1, 0, 1, 0),
        (-1, -1, 0, -1, 0),
        (4, 2, 2, 2, 2),
    ],
)
def test_each_convention_on_halves(
    numerator: int, half_away: int, half_even: int, up: int, down: int
) -> None:
    got = [
        divide(numerator, 2, r) for r in (Rounding.HALF_AWAY, Rounding.HALF_EVEN, Rounding.UP, Rounding.DOWN)
    ]
    assert got == [half_away, half_even, up, down]


@given(huge, st.integers(1, 2**63), st.sampled_from(Rounding))
def test_rounding_is_symmetric_and_off_by_less_than_one(
    numerator: int, denominator: int, rounding: Rounding
) -> None:
    got = divide(numerator, denominator, rounding)
    assert got == -divide(-numerator, denominator, rounding)
    error = abs(Fraction(numerator, denominator) - got)
    assert error <= Fraction(1, 2) if rounding in (Rounding.HALF_AWAY, Rounding.HALF_EVEN) else error < 1


@pytest.mark.parametrize("denominator", [0, -1])
def test_dividing_by_nothing_is_refused(denominator: int) -> None:
    with pytest.raises(InvalidInput):
        divide(1, denominator)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("29.90", "EUR", 2990),
        ("-0.05", "EUR", -5),
        ("300", "JPY", 300),
        ("1.5", "KWD", 1500),
        ("7.500", "EUR", 750),
    ],
)
def test_parse_and_print_agree_with_the_currency(text: str, currency: str, minor: int) -> None:
    assert Money.parse(text, currency).minor == minor
    assert Money.parse(Money(minor, currency).plain, currency).minor == minor


@pytest.mark.parametrize("text", ["", "-", "1.005", "1,50", "1e3", "٣", ".5", "--1", "1.2.3"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Money.parse(text, "EUR")
    assert caught.value.field == "amount"


def test_currencies_do_not_mix_and_must_exist() -> None:
    with pytest.raises(InvalidInput, match="EUR with USD"):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(InvalidInput, match="EUR with USD"):
        _ = Money(1, "EUR") < Money(1, "USD")
    with pytest.raises(InvalidInput, match="XYZ"):
        Money(1, "XYZ")


def test_arithmetic() -> None:
    assert Money(250, "EUR") + Money(50, "EUR") - Money(1, "EUR") * 3 == Money(297, "EUR")
    assert -Money(5, "EUR") < Money(0, "EUR") <= Money(0, "EUR")
    assert not Money(0, "EUR")
    assert str(Money(-5, "EUR")) == "-0.05 EUR"
    assert Money(1000, "EUR").share(10, 31) == Money(323, "EUR")


@given(huge, st.lists(st.integers(0, 2**40), min_size=1, max_size=12).filter(any))
def test_allocation_never_loses_a_unit(minor: int, weights: list[int]) -> None:
    parts = Money(minor, "EUR").allocate(weights)
    assert sum(part.minor for part in parts) == minor
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(Fraction(minor * weight, total) - part.minor) < 1
        assert weight or not part


def test_equal_remainders_go_to_the_earlier_part() -> None:
    assert [part.minor for part in Money(100, "EUR").allocate([1, 1, 1])] == [34, 33, 33]
    assert [part.minor for part in Money(-100, "EUR").allocate([1, 1, 1])] == [-34, -33, -33]
    with pytest.raises(InvalidInput):
        Money(1, "EUR").allocate([0, 0])


def test_rated_amounts_keep_six_more_digits_until_rounded() -> None:
    price = Rated.parse("0.00135", "EUR")
    assert price.micro == 135_000
    assert str(price) == "0.00135 EUR"
    assert (price * 1000).money() == Money(135, "EUR")
    assert Rated.of(Money(2990, "EUR")).share(10, 31).money() == Money(965, "EUR")
    assert str(Rated.of(Money(2990, "EUR"))) == "29.90 EUR"
    assert str(Rated.of(Money(300, "JPY"))) == "300 JPY"
    assert Rated.parse("1.0000005", "KWD").money(Rounding.UP) == Money(1001, "KWD")
    with pytest.raises(InvalidInput):
        Rated.parse("0.000000001", "EUR")

"""Money: an integer of the currency's minor unit, together with its currency.

Amounts that a customer sees are `Money`. Amounts on their way there (a price per gigabyte, a share of a
month) are `Rated`: six more digits, rounded to `Money` once. Rounding is defined here and nowhere else;
billing's vectorised twin (`turnup.bss.billing.frames.rounding`) is proved equal to `divide`. No floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from turnup.kernel.errors import InvalidInput

RATED_SCALE = 1_000_000
"""Rated units per minor unit: a rated amount carries six more decimal digits than money."""

_CODES_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD"
        " CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ"
        " GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL"
        " MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR"
        " PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT"
        " TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}
_DECIMALS = {code: places for places, codes in _CODES_BY_DECIMALS.items() for code in codes.split()}


class Rounding(StrEnum):
    """What happens to the part of an amount below the smallest unit."""

    HALF_AWAY = "half_away"
    """To the nearest; a half goes away from zero (commercial rounding; the default)."""
    HALF_EVEN = "half_even"
    """To the nearest; a half goes to the even neighbour (banker's rounding)."""
    UP = "up"
    """Away from zero."""
    DOWN = "down"
    """Towards zero."""


def divide(numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_AWAY) -> int:
    """`numerator / denominator` as a whole number. The denominator must be positive."""
    if denominator <= 0:
        raise InvalidInput(f"cannot divide an amount by {denominator}", remedy="use a positive divisor")
    whole, rest = divmod(abs(numerator), denominator)
    match rounding:
        case Rounding.HALF_AWAY:
            whole += 2 * rest >= denominator
        case Rounding.HALF_EVEN:
            whole += 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1)
        case Rounding.UP:
            whole += rest > 0
        case Rounding.DOWN:
            pass
    return whole if numerator >= 0 else -whole


def decimals(currency: str) -> int:
    """How many decimals the ISO 4217 currency has: 0, 2 or 3."""
    if (places := _DECIMALS.get(currency)) is not None:
        return places
    raise InvalidInput(
        f"{currency!r} is not a currency we know", field="currency", remedy="use an ISO 4217 code such as EUR"
    )


def _same_currency(left: str, right: str) -> None:
    if left != right:
        raise InvalidInput(
            f"cannot combine {left} with {right}", field="currency", remedy="convert one of them first"
        )


def _scaled(text: str, places: int, what: str) -> int:
    """`text`, a plain decimal number, times 10**places; refuses digits that would be lost."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0") if len(fraction) > places else fraction
    if not whole.isascii() or not (whole + fraction).isdecimal() or not whole or len(fraction) > places:
        raise InvalidInput(
            f"{text!r} is not {what}",
            field="amount",
            remedy=f"write a plain number with at most {places} decimals, such as 29.90",
        )
    return sign * int(whole + fraction.ljust(places, "0"))


def _plain(value: int, places: int) -> str:
    digits = str(abs(value)).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if value < 0 else text


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: `minor` units (cents, yen, fils) of `currency` (ISO 4217)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        decimals(self.currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> "Money":
        """From a plain decimal such as `29.90`. InvalidInput if it has more decimals than the currency."""
        return cls(_scaled(text, decimals(currency), f"an amount of {currency}"), currency)

    def __add__(self, other: "Money") -> "Money":
        _same_currency(self.currency, other.currency)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return self + -other

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __mul__(self, factor: int) -> "Money":
        return Money(self.minor * factor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        _same_currency(self.currency, other.currency)
        return self.minor < other.minor

    def __le__(self, other: "Money") -> bool:
        _same_currency(self.currency, other.currency)
        return self.minor <= other.minor

    def __bool__(self) -> bool:
        return self.minor != 0

    def share(self, numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_AWAY) -> "Money":
        """`numerator/denominator` of this amount, rounded once."""
        return Money(divide(self.minor * numerator, denominator, rounding), self.currency)

    def allocate(self, weights: Sequence[int]) -> tuple["Money", ...]:
        """Parts in proportion to `weights` that sum to the whole, to the last unit.

        Largest remainder; equal remainders go to the earlier part. Weights are not negative and not all zero.
        """
        total = sum(weights)
        if total <= 0 or min(weights) < 0:
            raise InvalidInput(
                "weights must not be negative, and not all zero",
                field="weights",
                remedy="give each part a weight",
            )
        sign = -1 if self.minor < 0 else 1
        parts, rests = [], []
        for weight in weights:
            part, rest = divmod(abs(self.minor) * weight, total)
            parts.append(part)
            rests.append(rest)
        missing = abs(self.minor) - sum(parts)
        for index in sorted(range(len(parts)), key=lambda i: (-rests[i], i))[:missing]:
            parts[index] += 1
        return tuple(Money(sign * part, self.currency) for part in parts)

    @property
    def plain(self) -> str:
        """The number alone, with the currency's decimals: `-1234.50`."""
        return _plain(self.minor, decimals(self.currency))

    def __str__(self) -> str:
        return f"{self.plain} {self.currency}"


@dataclass(frozen=True, slots=True)
class Rated:
    """An amount on its way to money: `micro` millionths of a minor unit of `currency`."""

    micro: int
    currency: str

    def __post_init__(self) -> None:
        decimals(self.currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> "Rated":
        """From a plain decimal in major units, such as `0.00135` for a price per megabyte."""
        return cls(_scaled(text, decimals(currency) + 6, f"a price in {currency}"), currency)

    @classmethod
    def of(cls, money: Money) -> "Rated":
        return cls(money.minor * RATED_SCALE, money.currency)

    def __add__(self, other: "Rated") -> "Rated":
        _same_currency(self.currency, other.currency)
        return Rated(self.micro + other.micro, self.currency)

    def __mul__(self, factor: int) -> "Rated":
        return Rated(self.micro * factor, self.currency)

    def share(self, numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_AWAY) -> "Rated":
        return Rated(divide(self.micro * numerator, denominator, rounding), self.currency)

    def money(self, rounding: Rounding = Rounding.HALF_AWAY) -> Money:
        """Rounded to the currency's smallest unit."""
        return Money(divide(self.micro, RATED_SCALE, rounding), self.currency)

    @property
    def plain(self) -> str:
        """The number in major units without needless zeros beyond the currency's decimals."""
        places = decimals(self.currency)
        text = _plain(self.micro, places + 6)
        keep = len(text) - 6 if places else len(text) - 7
        return text[:keep] + text[keep:].rstrip("0").removesuffix(".")

    def __str__(self) -> str:
        return f"{self.plain} {self.currency}"

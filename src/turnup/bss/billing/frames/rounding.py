"""The vectorised twin of kernel.money.divide, proved equal to it by a property test.

Polars floors negative division, turns division by zero into null and has no negation of Int128; so the work
is done on magnitudes, and a denominator that is not positive gives null.
"""

import polars as pl

from turnup.kernel.money import Rounding

WIDE = pl.Int128


def wide(expression: pl.Expr) -> pl.Expr:
    return expression.cast(WIDE)


def narrow(expression: pl.Expr) -> pl.Expr:
    """Back to Int64; null where it does not fit."""
    return expression.cast(pl.Int64, strict=False)


def divided(numerator: pl.Expr, denominator: pl.Expr, rounding: Rounding) -> pl.Expr:
    """`numerator / denominator` rounded, as Int128; exact while both magnitudes are below 2**126."""
    divisor = pl.when(denominator > 0).then(wide(denominator))
    size = wide(numerator).abs()
    whole = size // divisor
    rest = size - whole * divisor
    match rounding:
        case Rounding.HALF_AWAY:
            up = rest >= divisor - rest
        case Rounding.HALF_EVEN:
            up = (rest > divisor - rest) | ((rest == divisor - rest) & (whole % 2 == 1))
        case Rounding.UP:
            up = rest > 0
        case Rounding.DOWN:
            up = pl.lit(value=False)
    return (whole + up.cast(WIDE)) * wide(numerator).sign()

"""Which charge periods each agreement is looked at for: rules asked once per distinct key, joined back."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date

import polars as pl

from turnup.bss.billing.model import BillingPolicy, Granularity
from turnup.bss.billing.rules.cycles import Window, bill_period, charge_periods, epoch

_KEY = ["cycle_day", "months", "anchor", "in_advance", "since", "billed_through", "reopened", "close"]


def decided(
    frame: pl.DataFrame,
    keys: list[str],
    decide: Callable[..., Iterable[tuple[object, ...]]],
    schema: Mapping[str, type[pl.DataType]],
) -> pl.DataFrame:
    """Ask `decide(*key)` once per distinct key; each answer (one or several) becomes a row beside the key."""
    distinct = frame.select(keys).unique()
    rows = [(*key, *answer) for key in distinct.iter_rows() for answer in decide(*key)]
    answers = pl.DataFrame(rows, schema={**distinct.schema, **schema}, orient="row")
    return frame.join(answers, on=keys, how="inner", nulls_equal=True)


def due_accounts(accounts: pl.DataFrame, bill_date: date) -> pl.DataFrame:
    """The accounts with their bill period: `close` (its end), `next_bill_date`, `since`, `reopened`."""

    def decide(cycle_day: int) -> list[tuple[object, ...]]:
        running = bill_period(cycle_day, bill_date)
        return [(running.start, running.end)]

    due = decided(accounts, ["cycle_day"], decide, {"close": pl.Date, "next_bill_date": pl.Date})
    return due.filter(pl.col("close") > pl.col("billed_through")).with_columns(
        since=pl.min_horizontal("billed_through", "dirty_from"),
        reopened=pl.col("dirty_from").is_not_null(),
    )


def with_periods(charges: pl.DataFrame, policy: BillingPolicy) -> pl.DataFrame:
    """One row per charge and period due: adds `period_from`, `period_to` and their bounds `lo`, `hi` in the
    policy's granularity. `charges` carries the account's columns, `months`, `in_advance` and `anchor`."""

    def decide(*key: object) -> list[tuple[object, ...]]:
        return [(p.start, p.end) for p in charge_periods(Window(*key))]  # type: ignore[arg-type]

    periods = decided(charges, _KEY, decide, {"period_from": pl.Date, "period_to": pl.Date})
    if policy.granularity is Granularity.DAY:
        return periods.with_columns(lo=_day("period_from"), hi=_day("period_to"))

    def bounds(start: date, end: date, zone: str) -> list[tuple[object, ...]]:
        return [(epoch(start, zone), epoch(end, zone))]

    return decided(periods, ["period_from", "period_to", "zone"], bounds, {"lo": pl.Int64, "hi": pl.Int64})


def bound(name: str, policy: BillingPolicy) -> pl.Expr:
    """The bound `name` of a stretch in the policy's granularity; null stays an open end."""
    return _day(name) if policy.granularity is Granularity.DAY else pl.col(f"{name}_s")


def _day(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32).cast(pl.Int64)

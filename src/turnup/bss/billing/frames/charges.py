"""What is owed: one row per agreement and charge period, and per outage; amounts rounded once.

Every row says how it came about: `price_micro` x `numerator` / `denominator` (recurring, one-time), units
above the allowance at a price per unit (usage), a share of the monthly charge (credits).
"""

import polars as pl

from turnup.bss.billing.frames.facts import Facts
from turnup.bss.billing.frames.rounding import WIDE, divided, narrow, wide
from turnup.bss.billing.frames.windows import bound, decided, with_periods
from turnup.bss.billing.model import (
    SHARE_SCALE,
    Allowance,
    BillingPolicy,
    ChargeKind,
    CreditPolicy,
    LineKind,
    Policies,
    ServiceTime,
)
from turnup.bss.billing.rules.credits import credit_share_ppm, outage_minutes
from turnup.kernel.money import RATED_SCALE

_ACCOUNT = ["account_id", "currency", "zone", "cycle_day", "billed_through", "since", "reopened", "close"]
OWED = [
    *(
        "account_id",
        "agreement_id",
        "kind",
        "source_id",
        "period_from",
        "period_to",
        "served_from",
        "served_to",
    ),
    *("zone", "cycle_day", "months", "in_advance", "tax_category", "price_micro", "numerator", "denominator"),
    *("quantity", "included", "share_ppm", "owed_minor"),
]


def owed(due: pl.DataFrame, facts: Facts, policies: Policies) -> pl.DataFrame:
    """Everything the due accounts owe for the periods they are looked at for (columns OWED)."""
    billing = policies.billing
    times = facts.times
    if not billing.charge_while_suspended:
        times = times.filter(pl.col("status") == ServiceTime.ACTIVE)
    agreements = facts.agreements.join(due.select(_ACCOUNT), on="account_id")
    agreements = _anchored(agreements, times)
    served = _served(agreements, times, billing)
    parts = [
        _recurring(served.filter(pl.col("kind") == ChargeKind.RECURRING), billing),
        _usage(served.filter(pl.col("kind") == ChargeKind.USAGE), facts.usage, billing),
        _one_time(agreements.filter(pl.col("kind") == ChargeKind.ONE_TIME), times, billing),
        _credits(agreements, facts.outages, policies),
    ]
    return pl.concat([_owed_columns(part) for part in parts])


def _owed_columns(part: pl.DataFrame) -> pl.DataFrame:
    missing = {"source_id": pl.String, "quantity": pl.Int64, "included": pl.Int64, "share_ppm": pl.Int64}
    fill = [pl.lit(None, dtype=t).alias(n) for n, t in missing.items() if n not in part.columns]
    # A price in another currency than the account's cannot be billed: a null amount parks the account.
    sound = pl.when(pl.col("price_currency") == pl.col("currency")).then(pl.col("owed_minor"))
    return part.with_columns(*fill, owed_minor=sound).select(OWED)


def _anchored(agreements: pl.DataFrame, times: pl.DataFrame) -> pl.DataFrame:
    """Usage and one-time charges are billed per bill period in arrears; only longer cycles need an anchor."""
    first = times.group_by("service_id").agg(first_day=pl.col("time_from").min())
    recurring = pl.col("kind") == ChargeKind.RECURRING
    months = pl.when(recurring).then("months").otherwise(1)
    start = pl.max_horizontal("agreed_from", "first_day").fill_null(pl.col("billed_through"))
    return agreements.join(first, on="service_id", how="left").with_columns(
        months=months,
        in_advance=recurring & pl.col("in_advance"),
        anchor=pl.when(months == 1).then("billed_through").otherwise(start),
    )


def _served(agreements: pl.DataFrame, times: pl.DataFrame, policy: BillingPolicy) -> pl.DataFrame:
    """Agreement x charge period, where the service was billable and the agreement in force: how long
    (`numerator`) of how long (`denominator`), and the first and last day of it."""
    periodic = agreements.filter(pl.col("kind") != ChargeKind.ONE_TIME)
    stretches = with_periods(periodic, policy).join(times, on="service_id")
    stretches = stretches.with_columns(
        start=pl.max_horizontal("lo", bound("agreed_from", policy), bound("time_from", policy)),
        end=pl.min_horizontal("hi", bound("agreed_to", policy), bound("time_to", policy)),
        served_from=pl.max_horizontal("period_from", "agreed_from", "time_from"),
        served_to=pl.min_horizontal("period_to", "agreed_to", "time_to"),
    ).filter(pl.col("end") > pl.col("start"))
    keys = ["agreement_id", "period_from"]
    return stretches.group_by(keys).agg(
        pl.exclude("numerator", "denominator", "served_from", "served_to").first(),
        numerator=(pl.col("end") - pl.col("start")).sum(),
        denominator=(pl.col("hi") - pl.col("lo")).first(),
        served_from=pl.col("served_from").min(),
        served_to=pl.col("served_to").max(),
    )


def _recurring(served: pl.DataFrame, policy: BillingPolicy) -> pl.DataFrame:
    amount = divided(
        wide(pl.col("price_micro")) * pl.col("numerator"),
        wide(pl.col("denominator")) * RATED_SCALE,
        policy.rounding,
    )
    return served.with_columns(kind=pl.lit(LineKind.RECURRING.value), owed_minor=narrow(amount))


def _usage(served: pl.DataFrame, usage: pl.DataFrame, policy: BillingPolicy) -> pl.DataFrame:
    """Octets of the days served, above the allowance, at a price per unit."""
    used = (
        served.join(usage, on="service_id")
        .filter((pl.col("used_on") >= pl.col("served_from")) & (pl.col("used_on") < pl.col("served_to")))
        .group_by("agreement_id", "period_from")
        .agg(quantity=narrow(wide(pl.col("octets")).sum()))
    )
    free = wide(pl.col("included_octets"))
    if policy.allowance is Allowance.PRORATED:
        free = free * pl.col("numerator") // wide(pl.col("denominator"))
    charged = pl.max_horizontal(wide(pl.col("quantity")) - free, pl.lit(0, dtype=WIDE))
    amount = divided(
        charged * wide(pl.col("price_micro")), wide(pl.col("unit_octets")) * RATED_SCALE, policy.rounding
    )
    return served.join(used, on=["agreement_id", "period_from"]).with_columns(
        kind=pl.lit(LineKind.USAGE.value),
        included=narrow(free),
        owed_minor=pl.when(pl.col("quantity").is_not_null()).then(narrow(amount)),
    )


def _one_time(agreements: pl.DataFrame, times: pl.DataFrame, policy: BillingPolicy) -> pl.DataFrame:
    """Charged once, on the first day the service is billable under the agreement."""
    overlap_from = pl.max_horizontal("agreed_from", "time_from")
    overlap_to = pl.min_horizontal("agreed_to", "time_to")
    first = (
        agreements.join(times, on="service_id")
        .filter((overlap_to > overlap_from) | overlap_to.is_null())
        .group_by("agreement_id")
        .agg(day=overlap_from.min())
    )
    dated = with_periods(agreements.join(first, on="agreement_id"), policy)
    amount = divided(wide(pl.col("price_micro")), pl.lit(RATED_SCALE), policy.rounding)
    return dated.filter(
        (pl.col("day") >= pl.col("period_from")) & (pl.col("day") < pl.col("period_to"))
    ).with_columns(
        kind=pl.lit(LineKind.ONE_TIME.value),
        served_from="day",
        served_to=pl.col("day").dt.offset_by("1d"),
        numerator=pl.lit(1, dtype=pl.Int64),
        denominator=pl.lit(1, dtype=pl.Int64),
        owed_minor=narrow(amount),
    )


def _credits(agreements: pl.DataFrame, outages: pl.DataFrame, policies: Policies) -> pl.DataFrame:
    """A share of the monthly charge per outage, in the bill period the outage ended in, capped per period.

    The base is every recurring agreement of the service that was in force on the day the outage began.
    """
    base = agreements.filter(pl.col("kind") == ChargeKind.RECURRING).rename({"months": "charge_months"})
    base = base.with_columns(
        months=pl.lit(1, dtype=pl.Int64), in_advance=pl.lit(value=False), anchor="billed_through"
    )
    hit = (
        with_periods(base, policies.billing)
        .join(outages, on="service_id")
        .filter(
            (pl.col("ended_on") >= pl.col("period_from"))
            & (pl.col("ended_on") < pl.col("period_to"))
            & (pl.col("agreed_from").is_null() | (pl.col("started_on") >= pl.col("agreed_from")))
            & (pl.col("agreed_to").is_null() | (pl.col("started_on") < pl.col("agreed_to")))
            & (pl.col("started_on") >= pl.col("first_day"))
        )
    )
    shares = _shares(hit, policies.credit)
    size = divided(
        wide(pl.col("price_micro")) * pl.col("share_ppm"),
        wide(pl.col("charge_months")) * SHARE_SCALE * RATED_SCALE,
        policies.billing.rounding,
    )
    return shares.filter(pl.col("share_ppm") > 0).with_columns(
        kind=pl.lit(LineKind.CREDIT.value),
        source_id="problem_id",
        served_from="started_on",
        served_to=pl.col("ended_on").dt.offset_by("1d"),
        numerator="share_ppm",
        denominator=pl.col("charge_months") * SHARE_SCALE,
        quantity="minutes",
        owed_minor=narrow(size * -1),
    )


def _shares(hit: pl.DataFrame, policies: dict[str, CreditPolicy]) -> pl.DataFrame:
    """Adds `minutes` and `share_ppm`: what each outage earns once earlier ones used the cap."""

    def decide(code: str, seconds: int) -> list[tuple[object, ...]]:
        policy = policies.get(code, CreditPolicy())
        minutes = outage_minutes(seconds)
        return [(minutes, credit_share_ppm(policy, minutes), policy.cap_ppm)]

    answers = {"minutes": pl.Int64, "earned_ppm": pl.Int64, "cap_ppm": pl.Int64}
    timed = hit.with_columns(seconds=pl.col("ended_s") - pl.col("started_s"))
    earned = decided(timed, ["credit_policy", "seconds"], decide, answers)
    group = ["agreement_id", "period_from"]
    upto = pl.min_horizontal(pl.col("earned_ppm").cum_sum(), pl.col("cap_ppm")).over(group)
    return (
        earned.sort("agreement_id", "period_from", "started_s", "problem_id")
        .with_columns(upto=upto)
        .with_columns(share_ppm=pl.col("upto") - pl.col("upto").shift(1, fill_value=0).over(group))
    )

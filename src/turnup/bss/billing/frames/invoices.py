"""From what is owed to invoices: subtract what was billed before, tax, park, total.

`bill` is the one way to an invoice. Preview calls it for one account, a run for a shard, and a second run
finds nothing left to say.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from turnup.bss.billing.frames.charges import OWED, owed
from turnup.bss.billing.frames.facts import Facts
from turnup.bss.billing.frames.rounding import divided, narrow, wide
from turnup.bss.billing.frames.windows import decided, due_accounts
from turnup.bss.billing.model import SHARE_SCALE, BillingPolicy, Policies, TaxPoint
from turnup.bss.billing.rules.taxes import rate_ppm

_CHARGE = ["agreement_id", "kind", "source_id", "period_from"]
_FACT = ["cycle_day", "zone", "months", "in_advance", "period_from", "period_to"]
LINE = [
    *("account_id", "n", "kind", "agreement_id", "source_id", "period_from", "period_to"),
    *("served_from", "served_to", "fact_key", "price_micro", "numerator", "denominator"),
    *(
        "quantity",
        "included",
        "share_ppm",
        "owed_minor",
        "billed_before_minor",
        "net_minor",
        "tax_ppm",
        "tax_minor",
    ),
]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a run would post for a set of accounts.

    invoices: one row per account with something to say. lines: columns LINE. facts: the shared half of the
    derivations, by `fact_key`. moved: accounts whose bill period closes, with `close`, `next_bill_date` and
    the `facts_version` that was seen. parked: account_id, reason.
    """

    invoices: pl.DataFrame
    lines: pl.DataFrame
    facts: pl.DataFrame
    moved: pl.DataFrame
    parked: pl.DataFrame


def bill(facts: Facts, policies: Policies, bill_date: date) -> Draft:
    """The invoices of these accounts as of the bill date; accounts that are not due are left out."""
    due = due_accounts(facts.accounts, bill_date)
    changes = _difference(owed(due, facts, policies), facts, due)
    lines = _taxed(changes, due, policies, bill_date)
    parked = _parked(lines)
    lines = lines.filter(pl.col("net_minor") != 0).join(parked, on="account_id", how="anti")
    invoices = _invoices(lines, due, policies.billing, bill_date)
    overflown = invoices.filter(pl.col("total_minor").is_null()).select(
        "account_id", reason=pl.lit("the invoice total is too large")
    )
    parked = pl.concat([parked, overflown])
    lines = lines.join(overflown, on="account_id", how="anti")
    lines, shared = _shared_facts(lines)
    return Draft(
        invoices=invoices.filter(pl.col("total_minor").is_not_null()).sort("account_id"),
        lines=_numbered(lines),
        facts=shared,
        moved=due.join(parked, on="account_id", how="anti").select(
            "account_id", "close", "next_bill_date", "facts_version"
        ),
        parked=parked,
    )


def _difference(now: pl.DataFrame, facts: Facts, due: pl.DataFrame) -> pl.DataFrame:
    """What is owed now less what was billed for the same charge; what is no longer owed is taken back."""
    if facts.billed.is_empty():
        return now.with_columns(billed_before_minor=pl.lit(0, dtype=pl.Int64), net_minor=pl.col("owed_minor"))
    before = facts.billed.join(
        due.select("account_id", "since", "zone", "cycle_day"), on="account_id"
    ).filter(pl.col("period_to") > pl.col("since"))
    merged = now.join(
        before.select(*_CHARGE, "billed_minor"), on=_CHARGE, how="left", nulls_equal=True
    ).with_columns(billed_before_minor=pl.col("billed_minor").fill_null(0))
    gone = _no_longer_owed(before, now, facts)
    both = pl.concat([merged.select(*OWED, "billed_before_minor"), gone])
    return both.with_columns(
        net_minor=narrow(wide(pl.col("owed_minor")) - wide(pl.col("billed_before_minor")))
    )


def _no_longer_owed(before: pl.DataFrame, now: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    agreed = facts.agreements.select("agreement_id", "months", "in_advance", "tax_category", "price_micro")
    zero = {name: pl.lit(0, dtype=pl.Int64) for name in ("numerator", "owed_minor")}
    blank = {name: pl.lit(None, dtype=pl.Int64) for name in ("quantity", "included", "share_ppm")}
    return (
        before.join(now, on=_CHARGE, how="anti", nulls_equal=True)
        .join(agreed, on="agreement_id")
        .with_columns(
            **zero,
            **blank,
            denominator=pl.lit(1, dtype=pl.Int64),
            served_from="period_from",
            served_to="period_to",
            billed_before_minor="billed_minor",
        )
        .select(*OWED, "billed_before_minor")
    )


def _taxed(lines: pl.DataFrame, due: pl.DataFrame, policies: Policies, bill_date: date) -> pl.DataFrame:
    """Exclusive tax, rounded per line; no rate leaves the tax null."""
    day = pl.lit(bill_date)
    if policies.billing.tax_point is TaxPoint.PERIOD_END:
        day = pl.max_horizontal("served_from", pl.col("served_to").dt.offset_by("-1d"))
    classed = lines.join(due.select("account_id", "tax_class"), on="account_id").with_columns(tax_day=day)

    def decide(tax_class: str, category: str, on: date) -> list[tuple[object, ...]]:
        return [(rate_ppm(policies.tax, tax_class, category, on),)]

    rated = decided(classed, ["tax_class", "tax_category", "tax_day"], decide, {"tax_ppm": pl.Int64})
    tax = divided(
        wide(pl.col("net_minor")) * pl.col("tax_ppm"), pl.lit(SHARE_SCALE), policies.billing.rounding
    )
    return rated.with_columns(tax_minor=narrow(tax))


def _parked(lines: pl.DataFrame) -> pl.DataFrame:
    """Accounts with an amount that could not be told, each with its first reason."""
    reason = (
        pl.when(pl.col("net_minor").is_null())
        .then(pl.format("charge {}: no amount (wrong currency, bad unit or too large)", "agreement_id"))
        .when(pl.col("tax_ppm").is_null())
        .then(
            pl.format("no tax rate for class {}, category {} on {}", "tax_class", "tax_category", "tax_day")
        )
        .when(pl.col("tax_minor").is_null())
        .then(pl.lit("the tax is too large"))
    )
    faulty = lines.select("account_id", reason=reason).filter(pl.col("reason").is_not_null())
    return faulty.group_by("account_id").agg(pl.col("reason").min())


def _invoices(lines: pl.DataFrame, due: pl.DataFrame, policy: BillingPolicy, bill_date: date) -> pl.DataFrame:
    totals = lines.group_by("account_id").agg(
        net=wide(pl.col("net_minor")).sum(), tax=wide(pl.col("tax_minor")).sum()
    )
    return totals.join(due, on="account_id").select(
        *("account_id", "legal_entity_id", "brand_id", "currency", "tax_class"),
        period_from="billed_through",
        period_to="close",
        invoice_date=pl.lit(bill_date),
        due_date=pl.lit(bill_date).dt.offset_by(f"{policy.payment_terms_days}d"),
        net_minor=narrow(pl.col("net")),
        tax_minor=narrow(pl.col("tax")),
        total_minor=narrow(pl.col("net") + pl.col("tax")),
    )


def _shared_facts(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    shared = lines.select(_FACT).unique().sort(_FACT).with_row_index("fact_key")
    return lines.join(shared, on=_FACT, nulls_equal=True), shared


def _numbered(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines numbered from 1 within their invoice, oldest period first."""
    ordered = lines.sort("account_id", "period_from", "served_from", "kind", "agreement_id", "source_id")
    return ordered.with_columns(n=pl.int_range(1, pl.len() + 1).over("account_id")).select(LINE)

"""A draft in the shape in which it is posted: ids, numbers, ledger entries, the columns of the tables."""

from datetime import date

import polars as pl

from turnup.bss.billing.model import BillingPolicy
from turnup.kernel.ids import derived_ids


def identified(invoices: pl.DataFrame) -> pl.DataFrame:
    """Adds `invoice_id`, derived: the same account and period is the same invoice, always."""
    period = [pl.col(name).dt.strftime("%Y-%m-%d") for name in ("period_from", "period_to")]
    parts = invoices.select("account_id", *period).iter_rows()
    ids = derived_ids("invoice", ((*part, "bill", "0") for part in parts))
    return invoices.with_columns(pl.Series("invoice_id", ids, dtype=pl.String))


def numbered(invoices: pl.DataFrame, blocks: pl.DataFrame) -> pl.DataFrame:
    """Adds `number`: each legal entity's block (legal_entity_id, first_number) counted through by account."""
    ordered = invoices.sort("account_id").join(
        blocks, on="legal_entity_id", how="left", maintain_order="left"
    )
    place = pl.int_range(pl.len()).over("legal_entity_id")
    return ordered.with_columns(number=pl.col("first_number") + place).drop("first_number")


def number_rows(invoices: pl.DataFrame, policy: BillingPolicy, bill_date: date) -> pl.DataFrame:
    """Rows of table invoice_number."""
    return invoices.select(
        "legal_entity_id",
        "number",
        "invoice_id",
        series=pl.lit(policy.series),
        issued_on=pl.lit(bill_date),
    ).sort("legal_entity_id", "number")


def invoice_number(series: str, number: pl.Expr) -> pl.Expr:
    return pl.format("{}-{}", pl.lit(series), number.cast(pl.String).str.zfill(8))


def invoice_rows(invoices: pl.DataFrame, policy: BillingPolicy, bill_date: date) -> pl.DataFrame:
    """Rows of table invoice; `invoices` carries `invoice_id` and the `number` assigned."""
    return invoices.with_columns(
        _month(bill_date),
        number=invoice_number(policy.series, pl.col("number")),
        kind=pl.lit("bill"),
        revision=pl.lit(0),
        open_minor="total_minor",
    ).rename({"invoice_id": "id"})


def line_rows(lines: pl.DataFrame, invoices: pl.DataFrame, bill_date: date) -> pl.DataFrame:
    """Rows of table invoice_line, derivations included."""
    owners = invoices.select("account_id", "invoice_id")
    return lines.join(owners, on="account_id").with_columns(_month(bill_date)).drop("account_id")


def fact_rows(facts: pl.DataFrame, policy: BillingPolicy) -> pl.DataFrame:
    """Rows of table run_fact: what many lines share, told once per shard."""
    return facts.with_columns(
        granularity=pl.lit(policy.granularity.value),
        rounding=pl.lit(policy.rounding.value),
        tax_point=pl.lit(policy.tax_point.value),
    ).rename({"fact_key": "key"})


def ledger_rows(invoices: pl.DataFrame, bill_date: date) -> pl.DataFrame:
    """Rows of table ledger_entry: debit the receivable, credit revenue and tax; debit is positive.

    An invoice without tax has no tax entry.
    """
    common = ["legal_entity_id", "account_id", "currency"]
    sides = [
        (1, "receivable", pl.col("total_minor")),
        (2, "revenue", pl.col("net_minor") * -1),
        (3, "tax", pl.col("tax_minor") * -1),
    ]
    entries = pl.concat(
        [
            invoices.select(
                *common,
                source_id="invoice_id",
                n=pl.lit(n),
                ledger_account=pl.lit(name),
                amount_minor=amount,
            )
            for n, name, amount in sides
        ]
    )
    posted = entries.filter((pl.col("n") < 3) | (pl.col("amount_minor") != 0)).sort("source_id", "n")
    return posted.with_columns(_month(bill_date), source_kind=pl.lit("invoice"), posted_on=pl.lit(bill_date))


def _month(bill_date: date) -> pl.Expr:
    return pl.lit(bill_date.replace(day=1)).alias("posted_month")

"""The columns of the fact frames: what the store reads and what tests build. Ids are text, dates local."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import polars as pl

ACCOUNTS = {
    "account_id": pl.String,
    "legal_entity_id": pl.String,
    "brand_id": pl.String,
    "currency": pl.String,
    "zone": pl.String,
    "cycle_day": pl.Int64,
    "tax_class": pl.String,
    "billed_through": pl.Date,
    "dirty_from": pl.Date,
    "facts_version": pl.Int64,
}
AGREEMENTS = {
    "agreement_id": pl.String,
    "account_id": pl.String,
    "service_id": pl.String,
    "kind": pl.String,
    "price_micro": pl.Int64,
    "price_currency": pl.String,
    "tax_category": pl.String,
    "months": pl.Int64,
    "in_advance": pl.Boolean,
    "unit_octets": pl.Int64,
    "included_octets": pl.Int64,
    "credit_policy": pl.String,
    "agreed_from": pl.Date,
    "agreed_to": pl.Date,
    "agreed_from_s": pl.Int64,
    "agreed_to_s": pl.Int64,
}
TIMES = {
    "service_id": pl.String,
    "status": pl.String,
    "time_from": pl.Date,
    "time_to": pl.Date,
    "time_from_s": pl.Int64,
    "time_to_s": pl.Int64,
}
USAGE = {"service_id": pl.String, "used_on": pl.Date, "octets": pl.Int64}
OUTAGES = {
    "problem_id": pl.String,
    "service_id": pl.String,
    "started_on": pl.Date,
    "ended_on": pl.Date,
    "started_s": pl.Int64,
    "ended_s": pl.Int64,
}
BILLED = {
    "account_id": pl.String,
    "agreement_id": pl.String,
    "kind": pl.String,
    "source_id": pl.String,
    "period_from": pl.Date,
    "period_to": pl.Date,
    "billed_minor": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the invoices of a set of accounts are a function of, besides policies and the date.

    `billed` holds what posted lines already charged for the periods of reopened accounts; others need none.
    `_s` columns are Unix seconds. A null `from` or `to` is an open end.
    """

    accounts: pl.DataFrame
    agreements: pl.DataFrame
    times: pl.DataFrame
    usage: pl.DataFrame
    outages: pl.DataFrame
    billed: pl.DataFrame

    @classmethod
    def schemas(cls) -> dict[str, Mapping[str, type[pl.DataType]]]:
        schemas: tuple[Mapping[str, type[pl.DataType]], ...] = (
            ACCOUNTS,
            AGREEMENTS,
            TIMES,
            USAGE,
            OUTAGES,
            BILLED,
        )
        return dict(zip((field.name for field in fields(cls)), schemas, strict=True))

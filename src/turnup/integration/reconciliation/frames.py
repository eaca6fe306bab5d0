"""The comparison for everyone at once: hash joins of what each side says, judged once per situation."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl

from turnup.integration.reconciliation import rules
from turnup.integration.reconciliation.model import (
    BilledAs,
    Comparison,
    DesiredAs,
    Facts,
    Held,
    Mismatch,
    Situation,
    SoldAs,
)

_INSTANT = pl.Datetime("us", "UTC")
_SITUATION = [field.name for field in fields(Situation)]
_SOLD = {"service": pl.String, "status": pl.String, "end": _INSTANT, "ordered": pl.Boolean}
_DESIRED = {
    "service": pl.String,
    "number": pl.String,
    "admission": pl.String,
    "observed": pl.Boolean,
    "proved": pl.Boolean,
    "online": pl.Boolean,
    "configured_at": _INSTANT,
    "first_online_at": _INSTANT,
    "accepted_at": _INSTANT,
}
_BILLED = {
    "service": pl.String,
    "active": pl.Boolean,
    "monthly_minor": pl.Int64,
    "currency": pl.String,
    "billing_start": pl.String,
}
_PAIR = {"service": pl.String, "element": pl.String}


def compare(facts: Facts, now: datetime, currency: str) -> Comparison:
    """Judge every service that any side knows. `currency` stands where billing names none."""
    elements = _elements(facts)
    services = _services(facts, elements, now)
    judged = _judged_services(services, elements)
    judged += _judged_elements(services, elements)
    in_flight = services.filter("in_flight")["service"].to_list()
    unknown = elements.filter(pl.col("held") == Held.UNKNOWN.value)
    return Comparison(
        checked=services.height,
        unknown=unknown["service"].n_unique(),
        in_flight=frozenset(map(UUID, in_flight)),
        unreachable=facts.unreachable,
        mismatches=tuple(
            sorted(
                (_mismatch(row, verdict, currency) for row, verdict in judged),
                key=lambda found: (str(found.service_id), found.kind, found.element),
            )
        ),
    )


def _elements(facts: Facts) -> pl.DataFrame:
    """One row per service and element that has or should have anything: `held`, `detail`."""
    expected = _frame(((d.service_id, e) for d in facts.desired for e in d.elements), _PAIR)
    intended = _frame(facts.intended, _PAIR)
    seen = _frame(
        ((s.service_id, s.element, s.held.value, s.detail) for s in facts.seen),
        {**_PAIR, "seen": pl.String, "detail": pl.String},
    )
    joined = (
        expected.with_columns(expected=pl.lit(value=True))
        .join(intended.with_columns(intended=pl.lit(value=True)), on=[*_PAIR], how="full", coalesce=True)
        .join(seen, on=[*_PAIR], how="full", coalesce=True)
        .with_columns(pl.col("expected", "intended").fill_null(value=False))
    )
    there = pl.col("seen").is_not_null() & (pl.col("seen") != Held.MISSING.value)
    held = (
        pl.when(pl.col("element").is_in(list(facts.unreachable)))
        .then(pl.lit(Held.UNKNOWN.value))
        .when(~pl.col("expected") & (pl.col("intended") | there))
        .then(pl.lit(Held.STRAY.value))
        .when(pl.col("expected") & ~pl.col("intended") & there)
        .then(pl.lit(Held.NOT_INTENDED.value))
        .when(pl.col("expected") & ~pl.col("intended"))
        .then(pl.lit(Held.NOT_CONFIGURED.value))
        .otherwise(pl.col("seen").fill_null(Held.EQUAL.value))
    )
    return joined.with_columns(held=held, detail=pl.col("detail").fill_null("")).select(
        *_PAIR, "held", "detail"
    )


def _services(facts: Facts, elements: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """One row per service that any side knows, with its situation."""
    sold = _frame(((s.service_id, s.status, s.end, s.in_flight) for s in facts.sold), _SOLD)
    desired = _frame(
        (
            (
                d.service_id,
                d.number,
                d.admission,
                d.observed,
                d.proved,
                d.online,
                d.configured_at,
                d.first_online_at,
                d.accepted_at,
            )
            for d in facts.desired
        ),
        _DESIRED,
    )
    billed = _frame(
        ((b.service_id, b.active, b.monthly_minor, b.currency, b.billing_start) for b in facts.billed),
        _BILLED,
    )
    strays = elements.group_by("service").agg(stray=(pl.col("held") == Held.STRAY.value).any())
    joined = sold
    for other in (desired, billed, strays):
        joined = joined.join(other, on="service", how="full", coalesce=True)
    joined = joined.with_columns(
        sold=_decided("status", {s: rules.sold_as(s) for s in _values(joined, "status")}, SoldAs.NO),
        desired=_decided(
            "admission", {a: rules.desired_as(a) for a in _values(joined, "admission")}, DesiredAs.NO
        ),
        billed=_billed_as(),
        due_at=_due_at(_values(joined, "billing_start")),
        pending=pl.col("status").is_in([s for s in _values(joined, "status") if rules.sale_in_flight(s)]),
    )
    young = now - rules.SETTLING
    flying = (
        pl.col("ordered").fill_null(value=False)
        | pl.col("pending").fill_null(value=False)
        | ~pl.col("proved").fill_null(value=True)
        | (pl.col("end") > young).fill_null(value=False)
        | pl.col("due_at").is_between(young, now).fill_null(value=False)
    )
    joined = joined.with_columns(
        pl.col("observed", "online", "stray").fill_null(value=False),
        in_flight=flying,
        billing_due=(pl.col("due_at") <= young).fill_null(value=False),
    )
    something = (
        (pl.col("sold") != SoldAs.NO.value)
        | (pl.col("desired") != DesiredAs.NO.value)
        | (pl.col("billed") == BilledAs.RUNNING.value)
        | pl.col("stray")
        | pl.col("online")
        | pl.col("in_flight")
    )
    return joined.filter(something)


def _billed_as() -> pl.Expr:
    return (
        pl.when(pl.col("active").is_null())
        .then(pl.lit(BilledAs.UNKNOWN.value))
        .when(pl.col("active"))
        .then(pl.lit(BilledAs.RUNNING.value))
        .when(pl.col("monthly_minor") == 0)
        .then(pl.lit(BilledAs.FREE.value))
        .otherwise(pl.lit(BilledAs.STOPPED.value))
    )


def _due_at(starts: Iterable[str]) -> pl.Expr:
    """When billing should have begun; without billing's own word for it, at acceptance."""
    found = pl.col("accepted_at")
    for start in starts:
        column, days = rules.billing_clock(start)
        since = pl.col(column) + timedelta(days=days)
        found = pl.when(pl.col("billing_start") == start).then(since).otherwise(found)
    return found


def _judged_services(services: pl.DataFrame, elements: pl.DataFrame) -> list[tuple[dict[str, Any], Any]]:
    """Mismatches between the books; an element that did not answer has no say in them."""
    settled = services.filter(~pl.col("in_flight"))
    verdicts = {
        key: rules.judge_service(_situation(key)) for key in settled.select(_SITUATION).unique().iter_rows()
    }
    wrong = [key for key, found in verdicts.items() if found]
    where = (
        elements.filter(pl.col("held") == Held.STRAY.value)
        .group_by("service")
        .agg(pl.col("element").sort().str.join(", ").alias("on"))
    )
    rows = _only(settled, wrong).join(where, on="service", how="left")
    return [
        ({**row, "element": "", "detail": f"on {row['on']}" if row["on"] else ""}, verdict)
        for row in rows.iter_rows(named=True)
        for verdict in verdicts[tuple(row[name] for name in _SITUATION)]
    ]


def _judged_elements(services: pl.DataFrame, elements: pl.DataFrame) -> list[tuple[dict[str, Any], Any]]:
    rows = elements.filter(~pl.col("held").is_in([Held.EQUAL.value, Held.UNKNOWN.value])).join(
        services.filter(~pl.col("in_flight")), on="service", how="inner"
    )
    keys = [*_SITUATION, "held"]
    verdicts = {
        key: rules.judge_element(_situation(key[:-1]), Held(key[-1]))
        for key in rows.select(keys).unique().iter_rows()
    }
    return [
        (row, verdict)
        for row in rows.iter_rows(named=True)
        if (verdict := verdicts[tuple(row[name] for name in keys)]) is not None
    ]


def _situation(key: tuple[Any, ...]) -> Situation:
    sold, desired, observed, billed, *flags = key
    return Situation(SoldAs(sold), DesiredAs(desired), observed, BilledAs(billed), *flags)


def _only(services: pl.DataFrame, keys: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {name: services.schema[name] for name in _SITUATION}
    return services.join(pl.DataFrame(keys, schema=schema, orient="row"), on=_SITUATION, how="semi")


def _mismatch(row: Mapping[str, Any], verdict: Any, currency: str) -> Mismatch:
    parts = [f"{row['element']}:" if row["element"] else "", verdict.explanation, row["detail"]]
    return Mismatch(
        kind=verdict.kind,
        service_id=UUID(row["service"]),
        number=row["number"],
        element=row["element"],
        detail=" ".join(part for part in parts if part),
        monthly_minor=verdict.sign * (row["monthly_minor"] or 0),
        currency=row["currency"] or currency,
        owner=verdict.owner,
        repair=verdict.repair,
        remedy=verdict.remedy,
        safe=verdict.safe,
        since=row["end"] if verdict.kind == "billed_not_live" else row["due_at"],
    )


def _frame(rows: Iterable[tuple[Any, ...]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """The first column of every side is the service's id; text, so that it joins and groups."""
    return pl.DataFrame([(str(first), *rest) for first, *rest in rows], schema=dict(schema), orient="row")


def _values(frame: pl.DataFrame, column: str) -> list[str]:
    return [value for value in frame[column].unique().to_list() if value is not None]


def _decided(column: str, answers: Mapping[str, Any], default: Any) -> pl.Expr:
    known = {name: answer.value for name, answer in answers.items()}
    return pl.col(column).replace_strict(known, default=default.value, return_dtype=pl.String)

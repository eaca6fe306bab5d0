"""Builds fact frames from the oracle's accounts, so that both engines see the same world."""

from collections.abc import Sequence
from datetime import date

import oracle
import polars as pl

from turnup.bss.billing.frames.facts import Facts
from turnup.bss.billing.model import BillingPolicy, CreditPolicy, Policies, TaxRate

RATES = {
    "standard": [(date(1970, 1, 1), oracle.Fraction(19, 100)), (date(2026, 7, 1), oracle.Fraction(16, 100))],
    "reduced": [(date(1970, 1, 1), oracle.Fraction(55, 1000))],
}
CREDITS = {
    "standard": oracle.Credit(60, 60, oracle.Fraction(2, 100), oracle.Fraction(40, 100)),
    "daily": oracle.Credit(1440, 1440, oracle.Fraction(1, 30), oracle.Fraction(1)),
}


def policies(billing: BillingPolicy | None = None) -> Policies:
    """The oracle's rates and credits as billing's policies, in millionths."""
    return Policies(
        billing=billing or BillingPolicy(),
        credit={
            code: CreditPolicy(c.minimum_minutes, c.per_minutes, int(c.share * 10**6), int(c.cap * 10**6))
            for code, c in CREDITS.items()
        },
        dunning={},
        tax=tuple(
            TaxRate("standard", category, int(rate * 10**6), since)
            for category, rates in RATES.items()
            for since, rate in rates
        ),
    )


def exact_credits() -> dict[str, oracle.Credit]:
    """The credit policies as exact as a policy document can say them: in millionths."""
    return {
        code: oracle.Credit(
            c.minimum_minutes,
            c.per_minutes,
            oracle.Fraction(int(c.share * 10**6), 10**6),
            oracle.Fraction(int(c.cap * 10**6), 10**6),
        )
        for code, c in CREDITS.items()
    }


def facts(accounts: Sequence[oracle.Account], currency: str = "EUR") -> Facts:
    """Account number n gets the id `a{n}`; ids of its agreements, services and outages get it as a prefix."""
    schemas = Facts.schemas()
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in schemas}
    for n, account in enumerate(accounts):
        own = f"a{n}"
        rows["accounts"].append(
            (
                *(own, "entity", "brand", currency, "Europe/Berlin", account.cycle_day, "standard"),
                *(account.billed_through, account.reopened_from, 0),
            )
        )
        for a in account.agreements:
            rows["agreements"].append(
                (
                    *(f"{own}/{a.id}", own, f"{own}/{a.service}", a.kind, a.price_micro, "EUR", a.category),
                    *(a.months, a.in_advance, a.unit_octets, a.included_octets, a.credit),
                    *(a.start, a.end, None, None),
                )
            )
        for service, times in account.served.items():
            rows["times"] += [(f"{own}/{service}", "active", start, end, None, None) for start, end in times]
        rows["usage"] += [(f"{own}/{service}", day, octets) for service, day, octets in account.usage]
        rows["outages"] += [
            (f"{own}/{o.id}", f"{own}/{o.service}", o.first_day, o.last_day, k, k + o.seconds)
            for k, o in enumerate(account.outages)
        ]
        for (agreement, kind, source, start), net in account.billed.items():
            end = oracle.end_of_period(start, account.cycle_day)
            rows["billed"].append(
                (own, f"{own}/{agreement}", kind, source and f"{own}/{source}", start, end, net)
            )
    return Facts(**{name: pl.DataFrame(rows[name], schema=schemas[name], orient="row") for name in schemas})


def as_oracle_lines(lines: pl.DataFrame) -> dict[str, list[oracle.Line]]:
    """Lines by account, in the oracle's terms, sorted."""
    found: dict[str, list[oracle.Line]] = {}
    for row in lines.iter_rows(named=True):
        own = row["account_id"]
        source = row["source_id"]
        found.setdefault(own, []).append(
            oracle.Line(
                row["agreement_id"].removeprefix(f"{own}/"),
                row["kind"],
                source and source.removeprefix(f"{own}/"),
                row["period_from"],
                row["net_minor"],
                row["tax_minor"],
            )
        )
    return {own: sorted(each, key=sort_key) for own, each in found.items()}


def sort_key(line: oracle.Line) -> tuple[str, str, str, date]:
    return line.agreement, line.kind, line.source or "", line.period_from


def after(account: oracle.Account, lines: Sequence[oracle.Line], bill_date: date) -> oracle.Account:
    """The account once these lines are posted."""
    billed = dict(account.billed)
    for line in lines:
        key = (line.agreement, line.kind, line.source, line.period_from)
        billed[key] = billed.get(key, 0) + line.net
    close = oracle.start_of_period(bill_date, account.cycle_day)
    return oracle.Account(
        account.cycle_day,
        close,
        None,
        account.agreements,
        account.served,
        account.usage,
        account.outages,
        billed,
    )

"""A made-up ISP for the bill-run benchmark, and what its June must come to.

Everything about a subscriber follows from a number, so that the facts need not be kept to be checked: the
scalar test oracle, which shares no code with billing, computes them again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import text
from tests.billing import oracle

from turnup.kernel.ids import derived_id
from turnup.runtime.database import Database

BILL_DATE = date(2026, 7, 1)
JUNE = date(2026, 6, 1)
POLICIES = """
policies:
  billing:
    standard: {payment_terms_days: 14}
  credit:
    standard: {minimum_minutes: 60, per: hour, share_percent: "2", cap_percent: "40"}
  dunning: {}
  tax:
    standard:
      rates:
        - {class: standard, category: standard, percent: "19"}
"""
"""As a person would write them for `turnup import policies`."""
_CREDIT = oracle.Credit(60, 60, Fraction(2, 100), Fraction(40, 100))
_RATES = {"standard": [(date(1970, 1, 1), Fraction(19, 100))]}
_PRICES = (29_900_000 * 100, 39_900_000 * 100, 49_900_000 * 100, 59_990_000 * 100)


@dataclass(frozen=True)
class Subscriber:
    """Everything about subscriber `i` follows from `i`."""

    i: int

    def id_of(self, kind: str) -> str:
        return str(UUID(int=(0x0192 << 112) | (sum(map(ord, kind)) << 64) | self.i))

    @property
    def agreements(self) -> list[oracle.Agreement]:
        i, service = self.i, self.id_of("service")
        price = _PRICES[i % 4]
        advance = i % 5 == 0
        found = []
        if i % 25 in (1, 2, 3):  # 12 % change their plan within the month
            day = JUNE + timedelta(days=3 + i % 24)
            found.append(oracle.Agreement(self.id_of("old"), service, "recurring", price, end=day))
            found.append(oracle.Agreement(self.id_of("new"), service, "recurring", price * 2, start=day))
        else:
            found.append(
                oracle.Agreement(self.id_of("plan"), service, "recurring", price, in_advance=advance)
            )
        found.append(oracle.Agreement(self.id_of("router"), service, "recurring", 399_000_000))
        if i % 3 == 0:
            found.append(oracle.Agreement(self.id_of("static"), service, "recurring", 500_000_000))
        if i % 5 == 4:  # 20 % pay for traffic
            found.append(
                oracle.Agreement(self.id_of("traffic"), service, "usage", 5_000_000, included_octets=10**11)
            )
        return found

    @property
    def served(self) -> tuple[date, date | None]:
        return (JUNE + timedelta(days=9), None) if self.i % 50 == 12 else (date(2025, 3, 1), None)

    @property
    def usage(self) -> list[tuple[str, date, int]]:
        if self.i % 5 != 4:
            return []
        service = self.id_of("service")
        return [
            (service, JUNE + timedelta(days=n), (self.i * 7919 + n * 104_729) % 9_000_000_000)
            for n in range(30)
        ]

    @property
    def outages(self) -> list[oracle.Outage]:
        if self.i % 20 != 7:
            return []
        day = JUNE + timedelta(days=self.i % 29)
        return [
            oracle.Outage(
                self.id_of("problem"), self.id_of("service"), day, day, 3600 * (1 + self.i % 13) + 90
            )
        ]

    @property
    def reopened(self) -> date | None:
        return JUNE if len(self.agreements) and self.i % 25 in (1, 2, 3) else None

    @property
    def account(self) -> oracle.Account:
        return oracle.Account(
            cycle_day=1,
            billed_through=JUNE,
            reopened_from=self.reopened,
            agreements=self.agreements,
            served={self.id_of("service"): [self.served]},
            usage=self.usage,
            outages=self.outages,
        )


def load(database: Database, subscribers: int) -> None:
    """Write the ISP into billing's tables, as a year of events would have."""
    writers: dict[str, Callable[[Subscriber], Iterator[tuple[Any, ...]]]] = {
        "account": partial(_account_rows, derived_id("entity", "bench"), derived_id("brand", "bench")),
        "service": _service_rows,
        "billable_period": _time_rows,
        "agreement": _agreement_rows,
        "usage": _usage_rows,
        "outage_credit": _outage_rows,
    }
    with database.engine.begin() as connection:
        cursor = connection.connection.cursor()
        for target, rows in writers.items():
            with cursor.copy(f"COPY billing.{target} ({_COLUMNS[target]}) FROM STDIN") as copy:
                for i in range(subscribers):
                    for row in rows(Subscriber(i)):
                        copy.write_row(row)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


_COLUMNS = {
    "account": "id, number, customer_id, legal_entity_id, brand_id, currency, zone, cycle_day, tax_class,"
    " dunning_policy, billed_through, next_bill_date, dirty_from",
    "service": "id, account_id, product_id, billing_start",
    "billable_period": "service_id, n, account_id, status, from_at, from_date, cause",
    "agreement": "id, account_id, product_id, service_id, revision, code, name, kind, amount_micro, currency,"
    " tax_category, months, in_advance, unit, unit_octets, included_octets, credit_policy, from_at, to_at,"
    " from_date, to_date",
    "usage": "service_id, key, started_at, ended_at, used_on, octets",
    "outage_credit": "problem_id, service_id, account_id, started_at, ended_at, started_on, ended_on",
}


def _account_rows(entity: UUID, brand: UUID, s: Subscriber) -> Iterator[tuple[Any, ...]]:
    who = (s.id_of("account"), f"A{s.i}", s.id_of("customer"), entity, brand)
    yield (*who, "EUR", "Europe/Berlin", 1, "standard", "standard", JUNE, BILL_DATE, s.reopened)


def _service_rows(s: Subscriber) -> Iterator[tuple[Any, ...]]:
    yield s.id_of("service"), s.id_of("account"), s.id_of("product"), "acceptance"


def _time_rows(s: Subscriber) -> Iterator[tuple[Any, ...]]:
    start, _ = s.served
    yield s.id_of("service"), 0, s.id_of("account"), "active", f"{start} 08:00Z", start, "accepted"


def _agreement_rows(s: Subscriber) -> Iterator[tuple[Any, ...]]:
    for n, a in enumerate(s.agreements):
        usage = ("GB", a.unit_octets, a.included_octets) if a.kind == "usage" else (None, None, None)
        what = (a.id, s.id_of("account"), s.id_of("product"), a.service, 1, f"c{n}", f"Charge {n}", a.kind)
        price = (a.price_micro, "EUR", a.category, a.months, a.in_advance, *usage, a.credit)
        instants = (day and f"{day} 00:00+02" for day in (a.start, a.end))
        yield (*what, *price, *instants, a.start, a.end)


def _usage_rows(s: Subscriber) -> Iterator[tuple[Any, ...]]:
    for service, day, octets in s.usage:
        yield service, f"{day}", f"{day} 00:00Z", f"{day} 23:59Z", day, octets


def _outage_rows(s: Subscriber) -> Iterator[tuple[Any, ...]]:
    for o in s.outages:
        start = datetime.combine(o.first_day, datetime.min.time(), UTC) + timedelta(hours=4)
        end = start + timedelta(seconds=o.seconds)
        yield o.id, o.service, s.id_of("account"), start, end, o.first_day, o.last_day


def check(database: Database, subscribers: int) -> str:
    """`equal`, or the first difference between the database and the oracle."""
    with database.engine.connect() as connection:
        posted = {
            str(row[0]): (row[1], row[2], row[3])
            for row in connection.execute(
                text("""SELECT i.account_id, sum(l.net_minor)::bigint, sum(l.tax_minor)::bigint, count(*)
                        FROM billing.invoice i JOIN billing.invoice_line l ON l.invoice_id = i.id
                        GROUP BY 1""")
            )
        }
        books: dict[str, int] = {
            row[0]: row[1]
            for row in connection.execute(
                text("SELECT ledger_account, sum(amount_minor)::bigint FROM billing.ledger_entry GROUP BY 1")
            )
        }
        totals, numbered, lowest, highest = connection.execute(
            text("""SELECT (SELECT sum(total_minor)::bigint FROM billing.invoice), count(*), min(number),
                           max(number) FROM billing.invoice_number""")
        ).one()
    net = tax = invoices = 0
    for i in range(subscribers):
        subscriber = Subscriber(i)
        expected = oracle.lines(subscriber.account, BILL_DATE, _RATES, {"standard": _CREDIT})
        mine = (sum(line.net for line in expected), sum(line.tax for line in expected), len(expected))
        got = posted.get(subscriber.id_of("account"), (0, 0, 0))
        if mine != got:
            return f"subscriber {i}: oracle says net, tax, lines {mine}, posted are {got}"
        net, tax, invoices = net + mine[0], tax + mine[1], invoices + bool(expected)
    if books != {"receivable": net + tax, "revenue": -net, "tax": -tax} or totals != net + tax:
        return f"the ledger holds {books}, invoices {totals}; the oracle says net {net}, tax {tax}"
    if (numbered, lowest, highest) != (invoices, 1, invoices):
        return f"{numbered} numbers from {lowest} to {highest} for {invoices} invoices"
    return "equal"

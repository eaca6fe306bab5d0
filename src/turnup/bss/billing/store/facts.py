"""Reads the facts of due accounts into frames, their columns in the order of the schemas asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import polars as pl
from sqlalchemy import Connection

from turnup.bss.billing.store.bulk import read_frame


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts meant: a range of ids, of one legal entity or of all, due by the bill date."""

    first: UUID
    last: UUID
    bill_date: date
    legal_entity_id: UUID | None = None
    to_the_second: bool = False
    """Read instants too (they cost time and only proration by seconds needs them)."""


# [x] stands for an instant in Unix seconds. `since`: the day from which an account is looked at again. Late
# facts reach back, and what they touch is a whole charge period, so usage and outages of reopened accounts
# are read from a month before. Every query names the range of ids (or goes account by account) for its own
# table too: a shard that scanned a whole table would make a run quadratic in the number of subscribers.
_DUE = """
    SELECT a.*, least(a.billed_through, a.dirty_from) AS since,
           least(a.billed_through, a.dirty_from - 31) AS facts_since
    FROM billing.account a
    WHERE a.id BETWEEN %(first)s AND %(last)s AND a.next_bill_date <= %(bill_date)s
      AND (%(legal_entity_id)s::uuid IS NULL OR a.legal_entity_id = %(legal_entity_id)s)
"""
_QUERIES = {
    "accounts": f"""
        SELECT id, legal_entity_id, brand_id, currency, zone, cycle_day, tax_class, billed_through,
               dirty_from, facts_version FROM ({_DUE}) a""",
    "agreements": f"""
        SELECT g.id, g.account_id, g.service_id, g.kind, g.amount_micro, g.currency, g.tax_category, g.months,
               g.in_advance::text, g.unit_octets, g.included_octets, g.credit_policy, g.from_date, g.to_date,
               [g.from_at], [g.to_at]
        FROM billing.agreement g JOIN ({_DUE}) a ON a.id = g.account_id
        WHERE g.account_id BETWEEN %(first)s AND %(last)s AND (g.to_at > g.from_at) IS NOT FALSE
          AND (g.to_date IS NULL OR a.dirty_from IS NOT NULL OR g.to_date > a.billed_through - 62)""",
    "times": f"""
        SELECT t.service_id, t.status, t.from_date, t.to_date, [t.from_at], [t.to_at]
        FROM billing.billable_period t JOIN ({_DUE}) a ON a.id = t.account_id
        WHERE t.account_id BETWEEN %(first)s AND %(last)s""",
    "usage": f"""
        SELECT u.service_id, u.used_on, u.octets
        FROM (SELECT DISTINCT g.service_id, a.facts_since
              FROM billing.agreement g JOIN ({_DUE}) a ON a.id = g.account_id
              WHERE g.account_id BETWEEN %(first)s AND %(last)s AND g.kind = 'usage') s
        CROSS JOIN LATERAL (SELECT * FROM billing.usage
                            WHERE service_id = s.service_id AND used_on >= s.facts_since
                              AND used_on < %(bill_date)s OFFSET 0) u""",
    "outages": f"""
        SELECT o.problem_id, o.service_id, o.started_on, o.ended_on, extract(epoch FROM o.started_at)::bigint,
               extract(epoch FROM o.ended_at)::bigint
        FROM billing.outage_credit o JOIN ({_DUE}) a ON a.id = o.account_id
        WHERE o.account_id BETWEEN %(first)s AND %(last)s
          AND o.ended_on >= a.facts_since AND o.ended_on < %(bill_date)s""",
    "billed": f"""
        SELECT i.account_id, l.agreement_id, l.kind, l.source_id, l.period_from, l.period_to,
               sum(l.net_minor)::bigint
        FROM ({_DUE} AND a.dirty_from IS NOT NULL) a
        JOIN billing.invoice i ON i.account_id = a.id AND i.kind = 'bill'
        JOIN billing.invoice_line l ON l.posted_month = i.posted_month AND l.invoice_id = i.id
        WHERE l.period_to > a.since
        GROUP BY i.account_id, l.agreement_id, l.kind, l.source_id, l.period_from, l.period_to
        HAVING sum(l.net_minor) <> 0""",
}


def read_facts(
    connection: Connection, scope: Scope, schemas: Mapping[str, Mapping[str, type[pl.DataType]]]
) -> dict[str, pl.DataFrame]:
    """Everything the invoices of these accounts are made of, by the names of the schemas."""
    parameters = {
        "first": scope.first,
        "last": scope.last,
        "bill_date": scope.bill_date,
        "legal_entity_id": scope.legal_entity_id,
    }
    instant = r"extract(epoch FROM \1)::bigint" if scope.to_the_second else "NULL::bigint"
    return {
        name: read_frame(connection, re.sub(r"\[([a-z._]+)\]", instant, _QUERIES[name]), parameters, schema)
        for name, schema in schemas.items()
    }

"""Accounts, price agreements and what happened to services: the facts that events bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection

from turnup.bss.billing.model import AgreedCharge, BillableTime, FactKind, ServiceFact, ServiceTime
from turnup.bss.billing.store.bulk import execute, execute_many, rows
from turnup.kernel.ids import AccountId, BrandId, CustomerId, LegalEntityId, ProductId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    id: AccountId
    number: str
    customer_id: CustomerId
    legal_entity_id: LegalEntityId
    brand_id: BrandId
    currency: str
    zone: str
    cycle_day: int
    tax_class: str
    dunning_policy: str
    taken_over_through: date | None
    billed_through: date
    next_bill_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    id: ServiceId
    account_id: AccountId
    product_id: ProductId
    billing_start: str
    zone: str


_ACCOUNT = """SELECT id, number, customer_id, legal_entity_id, brand_id, currency, zone, cycle_day, tax_class,
    dunning_policy, taken_over_through, billed_through, next_bill_date FROM billing.account"""
_ACCOUNT_FIELDS = tuple(AccountRow.__dataclass_fields__)


def insert_account(connection: Connection, account: AccountRow) -> bool:
    """False if it is there already. Starts dirty: its first bill looks at its whole first period."""
    columns = ", ".join(_ACCOUNT_FIELDS)
    values = ", ".join(f"%({name})s" for name in _ACCOUNT_FIELDS)
    return bool(
        execute(
            connection,
            f"""INSERT INTO billing.account ({columns}, dirty_from) VALUES ({values}, %(billed_through)s)
                ON CONFLICT (id) DO NOTHING""",
            {name: getattr(account, name) for name in _ACCOUNT_FIELDS},
        )
    )


def find_account(connection: Connection, account_id: AccountId) -> AccountRow | None:
    return _one_account(connection, "id = %(key)s", account_id)


def find_account_by_number(connection: Connection, number: str) -> AccountRow | None:
    return _one_account(connection, "number = %(key)s", number)


def _one_account(connection: Connection, where: str, key: object) -> AccountRow | None:
    found = rows(connection, f"{_ACCOUNT} WHERE {where}", {"key": key})
    return AccountRow(**dict(zip(_ACCOUNT_FIELDS, found[0], strict=True))) if found else None


def reopen(connection: Connection, account_id: AccountId, day: date, *, billed_late: bool) -> None:
    """A fact from `day` on has come. If the account was billed for that day, or is being billed right now,
    its next bill looks at it again. Charges may be billed ahead, up to the next bill date; usage and outages
    (`billed_late`) never are."""
    limit = "billed_through" if billed_late else "next_bill_date"
    execute(
        connection,
        f"""UPDATE billing.account
            SET dirty_from = least(dirty_from, %(day)s), facts_version = facts_version + 1
            WHERE id = %(id)s AND (%(day)s < {limit}
                OR EXISTS (SELECT 1 FROM billing.bill_run WHERE state <> 'done'
                           AND (legal_entity_id IS NULL OR legal_entity_id = account.legal_entity_id)))""",
        {"id": account_id, "day": day},
    )


def upsert_service(
    connection: Connection,
    service_id: ServiceId,
    account_id: AccountId,
    product_id: ProductId,
    billing_start: str,
) -> None:
    execute(
        connection,
        """INSERT INTO billing.service (id, account_id, product_id, billing_start)
           VALUES (%(id)s, %(account)s, %(product)s, %(start)s)
           ON CONFLICT (id) DO UPDATE
           SET account_id = excluded.account_id, product_id = excluded.product_id""",
        {"id": service_id, "account": account_id, "product": product_id, "start": billing_start},
    )


def lock_service(connection: Connection, service_id: ServiceId) -> ServiceRow | None:
    """The service, locked until the transaction ends, so that its history is rewritten by one at a time."""
    found = rows(
        connection,
        """SELECT s.id, s.account_id, s.product_id, s.billing_start, a.zone
           FROM billing.service s JOIN billing.account a ON a.id = s.account_id
           WHERE s.id = %(id)s FOR UPDATE OF s""",
        {"id": service_id},
    )
    if not found:
        return None
    service, account, product, start, zone = found[0]
    return ServiceRow(id=service, account_id=account, product_id=product, billing_start=start, zone=zone)


def insert_fact(
    connection: Connection, service_id: ServiceId, fact: ServiceFact, now: datetime, reason: str
) -> bool:
    return bool(
        execute(
            connection,
            """INSERT INTO billing.service_fact (service_id, kind, at, recorded_at, reason)
               VALUES (%(service)s, %(kind)s, %(at)s, %(now)s, %(reason)s) ON CONFLICT DO NOTHING""",
            {"service": service_id, "kind": fact.kind, "at": fact.at, "now": now, "reason": reason},
        )
    )


def facts_of(connection: Connection, service_id: ServiceId) -> list[ServiceFact]:
    found = rows(
        connection, "SELECT kind, at FROM billing.service_fact WHERE service_id = %(id)s", {"id": service_id}
    )
    return [ServiceFact(FactKind(kind), at) for kind, at in found]


def times_of(connection: Connection, service_id: ServiceId) -> tuple[BillableTime, ...]:
    found = rows(
        connection,
        """SELECT status, from_at, to_at, cause FROM billing.billable_period
           WHERE service_id = %(id)s ORDER BY n""",
        {"id": service_id},
    )
    return tuple(BillableTime(ServiceTime(s), start, end, FactKind(cause)) for s, start, end, cause in found)


def replace_times(
    connection: Connection,
    service: ServiceRow,
    times: Sequence[BillableTime],
    dates: Sequence[tuple[date, date | None]],
) -> None:
    """Write a service's billable periods anew; `dates` are their local dates."""
    execute(connection, "DELETE FROM billing.billable_period WHERE service_id = %(id)s", {"id": service.id})
    execute_many(
        connection,
        """INSERT INTO billing.billable_period
             (service_id, n, account_id, status, from_at, to_at, from_date, to_date, cause)
           VALUES (%(service)s, %(n)s, %(account)s, %(status)s, %(start)s, %(end)s, %(first)s, %(last)s,
               %(cause)s)""",
        [
            {
                "service": service.id,
                "n": n,
                "account": service.account_id,
                "status": time.status,
                "start": time.start,
                "end": time.end,
                "first": first,
                "last": last,
                "cause": time.cause,
            }
            for n, (time, (first, last)) in enumerate(zip(times, dates, strict=True))
        ],
    )


def insert_revision(
    connection: Connection,
    product_id: ProductId,
    revision: int,
    account_id: AccountId,
    service_id: ServiceId,
    effective_at: datetime | None,
) -> bool:
    """False if this revision of the product's agreement is known."""
    return bool(
        execute(
            connection,
            """INSERT INTO billing.price_revision (product_id, revision, account_id, service_id, effective_at)
               VALUES (%(product)s, %(revision)s, %(account)s, %(service)s, %(at)s) ON CONFLICT DO NOTHING""",
            {
                "product": product_id,
                "revision": revision,
                "account": account_id,
                "service": service_id,
                "at": effective_at,
            },
        )
    )


def insert_agreements(
    connection: Connection,
    service: ServiceRow,
    revision: int,
    credit_policy: str,
    charges: Sequence[tuple[AgreedCharge, datetime | None]],
) -> None:
    """Each with the instant at which it ends by itself, if it does."""
    execute_many(
        connection,
        """INSERT INTO billing.agreement (id, account_id, product_id, service_id, revision, code, name, kind,
               amount_micro, currency, tax_category, months, in_advance, unit, unit_octets, included_octets,
               credit_policy, ends_at)
           VALUES (%(id)s, %(account)s, %(product)s, %(service)s, %(revision)s, %(code)s, %(name)s, %(kind)s,
               %(amount)s, %(currency)s, %(tax)s, %(months)s, %(advance)s, %(unit)s, %(octets)s, %(included)s,
               %(credit)s, %(ends)s)""",
        [
            {
                "id": each.id,
                "account": service.account_id,
                "product": service.product_id,
                "service": service.id,
                "revision": revision,
                "code": each.code,
                "name": each.name,
                "kind": each.kind,
                "amount": each.amount_micro,
                "currency": each.currency,
                "tax": each.tax_category,
                "months": each.months,
                "advance": each.in_advance,
                "unit": each.unit,
                "octets": each.unit_octets,
                "included": each.included_octets,
                "credit": credit_policy,
                "ends": ends_at,
            }
            for each, ends_at in charges
        ],
    )


def chain_revisions(connection: Connection, product_id: ProductId, zone: str) -> None:
    """Each revision runs until the next begins, a charge for so many cycles no longer than those: writes the
    instants and local dates of all of them."""
    execute(
        connection,
        """UPDATE billing.agreement g
           SET from_at = r.from_at, to_at = least(r.to_at, g.ends_at),
               from_date = (r.from_at AT TIME ZONE %(zone)s)::date,
               to_date = (least(r.to_at, g.ends_at) AT TIME ZONE %(zone)s)::date
           FROM (SELECT revision, effective_at AS from_at,
                        lead(effective_at) OVER (ORDER BY revision) AS to_at
                 FROM billing.price_revision WHERE product_id = %(product)s) r
           WHERE g.product_id = %(product)s AND g.revision = r.revision
             AND (g.from_at, g.to_at) IS DISTINCT FROM (r.from_at, least(r.to_at, g.ends_at))""",
        {"product": product_id, "zone": zone},
    )


@dataclass(frozen=True, slots=True)
class EarlyFact:
    """Usage or an outage that came before the service's price. `key`: of the usage record or the problem."""

    kind: str
    key: str
    started_at: datetime
    ended_at: datetime
    octets: int = 0


def keep_early(connection: Connection, service_id: ServiceId, fact: EarlyFact) -> None:
    execute(
        connection,
        """INSERT INTO billing.early_fact (service_id, kind, key, started_at, ended_at, octets)
           VALUES (%(service)s, %(kind)s, %(key)s, %(start)s, %(end)s, %(octets)s) ON CONFLICT DO NOTHING""",
        {
            "service": service_id,
            "kind": fact.kind,
            "key": fact.key,
            "start": fact.started_at,
            "end": fact.ended_at,
            "octets": fact.octets,
        },
    )


def take_early(connection: Connection, service_id: ServiceId) -> list[EarlyFact]:
    """What waited for the service's price, oldest first; it waits no more."""
    found = rows(
        connection,
        """WITH taken AS (DELETE FROM billing.early_fact WHERE service_id = %(service)s
                          RETURNING kind, key, started_at, ended_at, octets)
           SELECT * FROM taken ORDER BY started_at, key""",
        {"service": service_id},
    )
    return [EarlyFact(*row) for row in found]


def insert_usage(
    connection: Connection,
    service_id: ServiceId,
    key: str,
    started_at: datetime,
    ended_at: datetime,
    used_on: date,
    octets: int,
) -> bool:
    """False if this record has come before."""
    return bool(
        execute(
            connection,
            """INSERT INTO billing.usage (service_id, key, started_at, ended_at, used_on, octets)
               VALUES (%(service)s, %(key)s, %(start)s, %(end)s, %(day)s, %(octets)s)
               ON CONFLICT DO NOTHING""",
            {
                "service": service_id,
                "key": key,
                "start": started_at,
                "end": ended_at,
                "day": used_on,
                "octets": octets,
            },
        )
    )


def insert_outage(
    connection: Connection,
    problem_id: UUID,
    service: ServiceRow,
    started_at: datetime,
    ended_at: datetime,
    days: tuple[date, date],
) -> bool:
    """False if this problem's outage of the service is known."""
    return bool(
        execute(
            connection,
            """INSERT INTO billing.outage_credit
                 (problem_id, service_id, account_id, started_at, ended_at, started_on, ended_on)
               VALUES (%(problem)s, %(service)s, %(account)s, %(start)s, %(end)s, %(first)s, %(last)s)
               ON CONFLICT DO NOTHING""",
            {
                "problem": problem_id,
                "service": service.id,
                "account": service.account_id,
                "start": started_at,
                "end": ended_at,
                "first": days[0],
                "last": days[1],
            },
        )
    )


def monthly_charges(
    connection: Connection, now: datetime
) -> list[tuple[UUID, UUID, UUID, str | None, int, str, str, bool]]:
    """(service, product, account, status now or None, rated price per month, currency, what its billing
    waits for, whether anything is charged before discounts) of every service."""
    return rows(
        connection,
        """SELECT s.id, s.product_id, s.account_id, t.status,
                  coalesce(sum(g.amount_micro / g.months), 0)::bigint, a.currency, s.billing_start,
                  coalesce(bool_or(g.amount_micro > 0), false)
           FROM billing.service s
           JOIN billing.account a ON a.id = s.account_id
           LEFT JOIN billing.billable_period t ON t.service_id = s.id
                AND t.from_at <= %(now)s AND (t.to_at IS NULL OR t.to_at > %(now)s)
           LEFT JOIN billing.agreement g ON g.service_id = s.id AND g.kind = 'recurring'
                AND (g.from_at IS NULL OR g.from_at <= %(now)s) AND (g.to_at IS NULL OR g.to_at > %(now)s)
           GROUP BY s.id, t.status, a.currency ORDER BY s.id""",
        {"now": now},
    )

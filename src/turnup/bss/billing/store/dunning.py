"""Arrears and dunning cases."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection

from turnup.bss.billing.model import Arrears, OpenCase
from turnup.bss.billing.store.bulk import execute, rows
from turnup.kernel.ids import AccountId

_ARREARS = """
    SELECT a.id, a.dunning_policy, a.currency, min(i.due_date), sum(i.open_minor)::bigint,
           coalesce(max(c.step), 0), max(c.last_step_at AT TIME ZONE a.zone)::date
    FROM billing.invoice i
    JOIN billing.account a ON a.id = i.account_id
    LEFT JOIN billing.dunning_case c ON c.account_id = a.id AND c.released_at IS NULL
    WHERE i.open_minor > 0 AND i.due_date < %(today)s {and_more}
    GROUP BY a.id ORDER BY a.id
"""


def arrears(connection: Connection, today: date) -> list[Arrears]:
    """Every account with something overdue (the due date itself is not yet late)."""
    found = rows(connection, _ARREARS.format(and_more=""), {"today": today})
    return [Arrears(*row) for row in found]


def arrears_of(connection: Connection, account_id: AccountId, today: date) -> Arrears | None:
    query = _ARREARS.format(and_more="AND a.id = %(account)s")
    found = rows(connection, query, {"today": today, "account": account_id})
    return Arrears(*found[0]) if found else None


def open_cases(connection: Connection, account_id: AccountId | None = None) -> list[OpenCase]:
    found = rows(
        connection,
        """SELECT c.id, c.account_id, a.dunning_policy, a.currency, a.zone, c.step, c.suspended
           FROM billing.dunning_case c JOIN billing.account a ON a.id = c.account_id
           WHERE c.released_at IS NULL AND (%(account)s::uuid IS NULL OR c.account_id = %(account)s)
           ORDER BY c.account_id FOR UPDATE OF c""",
        {"account": account_id},
    )
    return [OpenCase(*row) for row in found]


def cases_ever(connection: Connection, account_id: AccountId) -> int:
    found = rows(
        connection, "SELECT count(*) FROM billing.dunning_case WHERE account_id = %(id)s", {"id": account_id}
    )
    return int(found[0][0])


def record_step(
    connection: Connection,
    case_id: UUID,
    account_id: AccountId,
    opened_on: date,
    step: int,
    now: datetime,
    *,
    suspends: bool,
) -> bool:
    """False if the step was taken before: steps only rise."""
    return bool(
        execute(
            connection,
            """INSERT INTO billing.dunning_case AS c
                 (id, account_id, opened_on, step, suspended, last_step_at)
               VALUES (%(id)s, %(account)s, %(opened)s, %(step)s, %(suspends)s, %(now)s)
               ON CONFLICT (id) DO UPDATE SET step = excluded.step, last_step_at = excluded.last_step_at,
                   suspended = c.suspended OR excluded.suspended
               WHERE c.step < excluded.step""",
            {
                "id": case_id,
                "account": account_id,
                "opened": opened_on,
                "step": step,
                "suspends": suspends,
                "now": now,
            },
        )
    )


def release(connection: Connection, case_id: UUID, now: datetime) -> None:
    execute(
        connection,
        "UPDATE billing.dunning_case SET released_at = %(now)s WHERE id = %(id)s AND released_at IS NULL",
        {"id": case_id, "now": now},
    )

"""Bill runs: shards, drafts, numbers, and the posting of a shard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import polars as pl
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from turnup.bss.billing.model import RunState, ShardState
from turnup.bss.billing.store.bulk import append_frame, array, execute, frozen, read_frame, rows, thawed
from turnup.bss.billing.store.facts import Scope


@dataclass(frozen=True, slots=True)
class RunRow:
    id: UUID
    bill_date: date
    legal_entity_id: UUID | None
    state: RunState
    policies: Mapping[str, Any]
    shards: int


@dataclass(frozen=True, slots=True)
class ShardRow:
    run_id: UUID
    n: int
    first: UUID
    last: UUID
    state: ShardState


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums over a run's shards; `drafted` counts shards drafted or posted."""

    accounts: int
    invoices: int
    parked: int
    total_minor: int
    drafted: int
    posted: int


_RUN = "SELECT id, bill_date, legal_entity_id, state, policies, shards FROM billing.bill_run"


def find_run(connection: Connection, run_id: UUID, *, lock: bool = False) -> RunRow | None:
    found = rows(connection, f"{_RUN} WHERE id = %(id)s {'FOR UPDATE' if lock else ''}", {"id": run_id})
    return _run(found[0]) if found else None


def latest_run(
    connection: Connection, bill_date: date, legal_entity_id: UUID | None
) -> tuple[int, RunRow] | None:
    """The last pass over this bill date and entity: its number and the run."""
    found = rows(
        connection,
        f"""{_RUN.replace("SELECT", "SELECT pass,")} WHERE bill_date = %(day)s
            AND legal_entity_id IS NOT DISTINCT FROM %(entity)s ORDER BY pass DESC LIMIT 1""",
        {"day": bill_date, "entity": legal_entity_id},
    )
    return (found[0][0], _run(found[0][1:])) if found else None


def _run(row: Sequence[Any]) -> RunRow:
    return RunRow(row[0], row[1], row[2], RunState(row[3]), row[4], row[5])


def hold_facts(connection: Connection) -> None:
    """Whoever records facts holds this lock shared until commit, see `wait_for_facts`."""
    execute(connection, "SELECT pg_advisory_xact_lock_shared(hashtext('billing.facts'))", {})


def wait_for_facts(connection: Connection) -> None:
    """A new run waits for the facts being recorded: later ones see the run and mark their accounts dirty."""
    execute(connection, "SELECT pg_advisory_xact_lock(hashtext('billing.facts'))", {})


def due_shards(
    connection: Connection, bill_date: date, legal_entity_id: UUID | None, size: int
) -> list[tuple[UUID, UUID, int]]:
    """(first account, last account, accounts) of each shard of due accounts, in id order."""
    return rows(
        connection,
        """SELECT (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1], count(*)
           FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / %(size)s AS shard FROM billing.account
                 WHERE next_bill_date <= %(day)s
                   AND (%(entity)s::uuid IS NULL OR legal_entity_id = %(entity)s)) due
           GROUP BY shard ORDER BY shard""",
        {"day": bill_date, "entity": legal_entity_id, "size": size},
    )


def insert_run(
    connection: Connection,
    run: RunRow,
    number_of_pass: int,
    shards: Sequence[tuple[UUID, UUID, int]],
    now: datetime,
) -> None:
    execute(
        connection,
        """INSERT INTO billing.bill_run
             (id, bill_date, legal_entity_id, pass, state, policies, shards, started_at)
           VALUES (%(id)s, %(day)s, %(entity)s, %(pass)s, %(state)s, %(policies)s, %(shards)s, %(now)s)""",
        {
            "id": run.id,
            "day": run.bill_date,
            "entity": run.legal_entity_id,
            "pass": number_of_pass,
            "state": run.state,
            "policies": Jsonb(run.policies),
            "shards": run.shards,
            "now": now,
        },
    )
    for n, (first, last, accounts) in enumerate(shards):
        execute(
            connection,
            """INSERT INTO billing.bill_run_shard (run_id, n, first_account, last_account, state, accounts)
               VALUES (%(run)s, %(n)s, %(first)s, %(last)s, 'pending', %(accounts)s)""",
            {"run": run.id, "n": n, "first": first, "last": last, "accounts": accounts},
        )


def ensure_month(connection: Connection, day: date) -> None:
    """Make the partitions for this day's month, if they are not there."""
    execute(connection, "SELECT billing.ensure_month(%(day)s)", {"day": day})


def lock_shard(connection: Connection, run_id: UUID, n: int) -> ShardRow | None:
    found = rows(
        connection,
        """SELECT run_id, n, first_account, last_account, state FROM billing.bill_run_shard
           WHERE run_id = %(run)s AND n = %(n)s FOR UPDATE""",
        {"run": run_id, "n": n},
    )
    if not found:
        return None
    run, number, first, last, state = found[0]
    return ShardRow(run, number, first, last, ShardState(state))


def scope_of(run: RunRow, shard: ShardRow, *, to_the_second: bool) -> Scope:
    return Scope(shard.first, shard.last, run.bill_date, run.legal_entity_id, to_the_second)


@dataclass(frozen=True, slots=True)
class ShardFrames:
    """The frames of one shard on their way in or out."""

    invoices: pl.DataFrame
    lines: pl.DataFrame
    facts: pl.DataFrame
    moved: pl.DataFrame


def save_draft(
    connection: Connection, shard: ShardRow, draft: ShardFrames, parked_accounts: pl.DataFrame
) -> None:
    """Freeze a shard's draft. `draft.invoices` carries `invoice_id`."""
    run = pl.lit(str(shard.run_id)).alias("run_id")
    number = pl.lit(shard.n).alias("shard")
    counts = draft.invoices.group_by("legal_entity_id").agg(invoices=pl.len())
    append_frame(connection, "number_block", counts.with_columns(run, number))
    append_frame(connection, "parked_account", parked_accounts.select(run, "account_id", "reason"))
    execute(
        connection,
        """UPDATE billing.bill_run_shard SET state = 'drafted', invoices = %(invoices)s, parked = %(parked)s,
               total_minor = %(total)s, draft_invoices = %(i)s, draft_lines = %(l)s, draft_facts = %(f)s,
               draft_moved = %(m)s
           WHERE run_id = %(run)s AND n = %(n)s""",
        {
            "run": shard.run_id,
            "n": shard.n,
            "invoices": draft.invoices.height,
            "parked": parked_accounts.height,
            "total": int(draft.invoices["total_minor"].cast(pl.Int128).sum() or 0),
            "i": frozen(draft.invoices),
            "l": frozen(draft.lines),
            "f": frozen(draft.facts),
            "m": frozen(draft.moved),
        },
    )


def totals(connection: Connection, run_id: UUID) -> RunTotals:
    return RunTotals(
        *rows(
            connection,
            """SELECT coalesce(sum(accounts), 0)::bigint, coalesce(sum(invoices), 0)::bigint,
                      coalesce(sum(parked), 0)::bigint, coalesce(sum(total_minor), 0)::bigint,
                      count(*) FILTER (WHERE state <> 'pending'), count(*) FILTER (WHERE state = 'posted')
               FROM billing.bill_run_shard WHERE run_id = %(run)s""",
            {"run": run_id},
        )[0]
    )


def set_state(
    connection: Connection, run_id: UUID, state: RunState, ended_at: datetime | None = None
) -> None:
    execute(
        connection,
        "UPDATE billing.bill_run SET state = %(state)s, ended_at = %(ended)s WHERE id = %(run)s",
        {"run": run_id, "state": state, "ended": ended_at},
    )


def last_numbers(connection: Connection) -> Mapping[tuple[UUID, str], int]:
    """The highest number given away, by legal entity and series."""
    found = rows(connection, "SELECT legal_entity_id, series, last_number FROM billing.number_series", {})
    return {(entity, series): last for entity, series, last in found}


def skip_numbers(connection: Connection, entity: UUID, series: str, last: int) -> None:
    """The next document of this series gets a number above `last`."""
    execute(
        connection,
        """INSERT INTO billing.number_series AS s (legal_entity_id, series, last_number)
           VALUES (%(entity)s, %(series)s, %(last)s)
           ON CONFLICT (legal_entity_id, series)
           DO UPDATE SET last_number = greatest(s.last_number, excluded.last_number)""",
        {"entity": entity, "series": series, "last": last},
    )


def assign_numbers(connection: Connection, run: RunRow, series: str) -> None:
    """Give every shard its block of numbers, gapless per legal entity: a row or a few per shard, however many
    invoices. The series' row stays locked until commit; entities are taken in order, so that two runs never
    wait for each other."""
    execute(
        connection,
        """WITH wanted AS (
             SELECT legal_entity_id, sum(invoices)::bigint AS invoices FROM billing.number_block
             WHERE run_id = %(run)s GROUP BY legal_entity_id ORDER BY legal_entity_id),
           taken AS (
             INSERT INTO billing.number_series AS s (legal_entity_id, series, last_number)
             SELECT legal_entity_id, %(series)s, invoices FROM wanted
             ON CONFLICT (legal_entity_id, series)
               DO UPDATE SET last_number = s.last_number + excluded.last_number
             RETURNING legal_entity_id, last_number)
           UPDATE billing.number_block b
           SET first_number = taken.last_number - wanted.invoices + before.invoices + 1
           FROM taken, wanted, (
             SELECT legal_entity_id, shard,
                    sum(invoices) OVER (PARTITION BY legal_entity_id ORDER BY shard) - invoices AS invoices
             FROM billing.number_block WHERE run_id = %(run)s) before
           WHERE b.run_id = %(run)s AND b.shard = before.shard
             AND b.legal_entity_id = before.legal_entity_id
             AND b.legal_entity_id = taken.legal_entity_id AND b.legal_entity_id = wanted.legal_entity_id""",
        {"run": run.id, "series": series},
    )


def number_blocks(connection: Connection, shard: ShardRow) -> pl.DataFrame:
    """The first number of the shard, per legal entity."""
    return read_frame(
        connection,
        """SELECT legal_entity_id, first_number FROM billing.number_block
           WHERE run_id = %(run)s AND shard = %(n)s""",
        {"run": shard.run_id, "n": shard.n},
        {"legal_entity_id": pl.String, "first_number": pl.Int64},
    )


def read_draft(connection: Connection, shard: ShardRow) -> ShardFrames:
    """A frozen draft."""
    parts = rows(
        connection,
        """SELECT draft_invoices, draft_lines, draft_facts, draft_moved FROM billing.bill_run_shard
           WHERE run_id = %(run)s AND n = %(n)s""",
        {"run": shard.run_id, "n": shard.n},
    )[0]
    return ShardFrames(*(thawed(part) for part in parts))


def append_documents(
    connection: Connection, shard: ShardRow, draft: ShardFrames, numbers: pl.DataFrame, entries: pl.DataFrame
) -> None:
    """Post a shard: numbers, documents, lines with their derivations, ledger entries."""
    origin = [pl.lit(str(shard.run_id)).alias("run_id"), pl.lit(shard.n).alias("shard")]
    append_frame(connection, "run_fact", draft.facts.with_columns(*origin))
    append_frame(connection, "invoice_number", numbers)
    append_frame(connection, "invoice", draft.invoices.with_columns(*origin))
    append_frame(connection, "invoice_line", draft.lines)
    append_frame(connection, "ledger_entry", entries)


def close_shard(connection: Connection, shard: ShardRow, moved: pl.DataFrame) -> None:
    """Move the accounts' bill periods on, drop the drafts. Facts that came after the draft stay dirty."""
    execute(
        connection,
        """UPDATE billing.account a
           SET billed_through = m.close, next_bill_date = m.next_bill_date,
               dirty_from = CASE WHEN a.facts_version = m.facts_version THEN NULL ELSE a.dirty_from END
           FROM unnest(%(ids)s::uuid[], %(closes)s::date[], %(nexts)s::date[], %(versions)s::int[])
                AS m (id, close, next_bill_date, facts_version)
           WHERE a.id = m.id AND a.billed_through < m.close""",
        {
            "ids": array(moved["account_id"]),
            "closes": array(moved["close"]),
            "nexts": array(moved["next_bill_date"]),
            "versions": array(moved["facts_version"]),
        },
    )
    execute(
        connection,
        """UPDATE billing.bill_run_shard SET state = 'posted', draft_invoices = NULL, draft_lines = NULL,
               draft_facts = NULL, draft_moved = NULL WHERE run_id = %(run)s AND n = %(n)s""",
        {"run": shard.run_id, "n": shard.n},
    )


def parked(connection: Connection, run_id: UUID) -> list[tuple[UUID, str]]:
    return rows(
        connection,
        "SELECT account_id, reason FROM billing.parked_account WHERE run_id = %(run)s ORDER BY account_id",
        {"run": run_id},
    )

"""Bill runs: draft every shard, number in one go, post every shard. Each step is one idempotent unit.

A run drafts first: invoices and lines are computed and frozen, without numbers. When the last shard is
drafted, one short unit gives every shard its block of numbers. Then shards are posted; documents, their
numbers and events exist only from there on. A step that is repeated finds its work done and does nothing.
Whoever finishes a phase's last shard starts the next phase, in the same transaction.
"""

import json
from datetime import date, datetime
from uuid import UUID

from turnup.bss.billing.frames.documents import (
    fact_rows,
    identified,
    invoice_rows,
    ledger_rows,
    line_rows,
    number_rows,
    numbered,
)
from turnup.bss.billing.frames.facts import Facts
from turnup.bss.billing.frames.invoices import bill
from turnup.bss.billing.model import Granularity, RunState, ShardState
from turnup.bss.billing.rules.policies import Snapshot, frozen_policies
from turnup.bss.billing.service.settling import settle
from turnup.bss.billing.store import facts, payments, runs
from turnup.contracts import catalog
from turnup.contracts.billing import InvoicesPosted
from turnup.contracts.unit import Unit
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import RunId, derived_id
from turnup.runtime import metrics

DRAFT_SHARD = "billing.draft_shard"
NUMBER_RUN = "billing.number_run"
POST_SHARD = "billing.post_shard"
SHARD_ACCOUNTS = 5_000
"""Accounts a shard holds: bounds the memory of a run, whatever the number of subscribers."""


def policy_snapshot(source: catalog.Reads, at: datetime) -> Snapshot:
    """All policy documents in force, as plain JSON data, to be frozen with a run."""
    documents = {kind: dict(source.policies(kind, at)) for kind in ("billing", "credit", "dunning", "tax")}
    plain: Snapshot = json.loads(json.dumps(documents, default=str))
    return plain


class BillRuns:
    """The steps of a bill run; workflows call them one by one."""

    def __init__(self, policies: catalog.Reads, shard_accounts: int = SHARD_ACCOUNTS) -> None:
        self._policies = policies
        self._shard_accounts = shard_accounts

    def start(self, unit: Unit, bill_date: date, legal_entity_id: UUID | None = None) -> RunId:
        """Begin a run over all accounts due by the bill date, or return the one there is.

        A date that was run before gets a new pass only if accounts are still due (parked, or opened since).
        """
        connection = unit.connection
        runs.wait_for_facts(connection)
        number, last = runs.latest_run(connection, bill_date, legal_entity_id) or (0, None)
        if last is not None and last.state is not RunState.DONE:
            return RunId(last.id)
        shards = runs.due_shards(connection, bill_date, legal_entity_id, self._shard_accounts)
        if last is not None and not shards:
            return RunId(last.id)
        run = runs.RunRow(
            id=derived_id("bill_run", bill_date, legal_entity_id, number + 1),
            bill_date=bill_date,
            legal_entity_id=legal_entity_id,
            state=RunState.DRAFTING,
            policies=policy_snapshot(self._policies, unit.now),
            shards=len(shards),
        )
        runs.insert_run(connection, run, number + 1, shards, unit.now)
        for n in range(len(shards)):
            unit.start(DRAFT_SHARD, f"{run.id}:draft:{n}", str(run.id), str(n))
        if not shards:
            unit.start(NUMBER_RUN, f"{run.id}:number", str(run.id))
        unit.audit("bill_run.started", run.id, after={"bill_date": str(bill_date), "shards": len(shards)})
        return RunId(run.id)

    def draft(self, unit: Unit, run_id: RunId, n: int) -> None:
        """Compute and freeze one shard."""
        connection = unit.connection
        shard = self._shard(unit, run_id, n)
        if shard.state is not ShardState.PENDING:
            return
        run = self._run(unit, run_id)
        policies = frozen_policies(run.policies)
        scope = runs.scope_of(run, shard, to_the_second=policies.billing.granularity is Granularity.SECOND)
        draft = bill(Facts(**facts.read_facts(connection, scope, Facts.schemas())), policies, run.bill_date)
        frames = runs.ShardFrames(identified(draft.invoices), draft.lines, draft.facts, draft.moved)
        runs.save_draft(connection, shard, frames, draft.parked)
        run = self._run(unit, run_id, lock=True)
        if runs.totals(connection, run_id).drafted == run.shards:
            unit.start(NUMBER_RUN, f"{run_id}:number", str(run_id))

    def number(self, unit: Unit, run_id: RunId) -> None:
        """Number all drafts of the run; from here on it can only be posted."""
        run = self._run(unit, run_id, lock=True)
        if run.state is not RunState.DRAFTING:
            return
        if runs.totals(unit.connection, run_id).drafted != run.shards:
            raise NotFound(f"run {run_id} has shards without a draft", remedy="let the run draft them first")
        runs.ensure_month(unit.connection, run.bill_date)
        runs.assign_numbers(unit.connection, run, frozen_policies(run.policies).billing.series)
        runs.set_state(unit.connection, run_id, RunState.POSTING)
        for n in range(run.shards):
            unit.start(POST_SHARD, f"{run_id}:post:{n}", str(run_id), str(n))
        if run.shards == 0:
            runs.set_state(unit.connection, run_id, RunState.DONE, unit.now)

    def post(self, unit: Unit, run_id: RunId, n: int) -> None:
        """Turn one shard's numbered drafts into documents, lines and ledger entries."""
        connection = unit.connection
        shard = self._shard(unit, run_id, n)
        if shard.state is not ShardState.DRAFTED:
            return
        run = self._run(unit, run_id)
        draft = runs.read_draft(connection, shard)
        policies = frozen_policies(run.policies)
        invoices = numbered(draft.invoices, runs.number_blocks(connection, shard))
        posted = runs.ShardFrames(
            invoice_rows(invoices, policies.billing, run.bill_date),
            line_rows(draft.lines, invoices, run.bill_date),
            fact_rows(draft.facts, policies.billing),
            draft.moved,
        )
        numbers = number_rows(invoices, policies.billing, run.bill_date)
        runs.append_documents(connection, shard, posted, numbers, ledger_rows(invoices, run.bill_date))
        runs.close_shard(connection, shard, draft.moved)
        for account_id in payments.accounts_with_credit(connection, shard.first, shard.last):
            settle(unit, account_id)
        unit.emit(InvoicesPosted(run_id=run_id, shard=n, invoices=draft.invoices.height))
        metrics.invoices_posted.inc(draft.invoices.height)
        run = self._run(unit, run_id, lock=True)
        if runs.totals(connection, run_id).posted == run.shards:
            runs.set_state(connection, run_id, RunState.DONE, unit.now)

    def _run(self, unit: Unit, run_id: RunId, *, lock: bool = False) -> runs.RunRow:
        run = runs.find_run(unit.connection, run_id, lock=lock)
        if run is None:
            raise NotFound(f"there is no bill run {run_id}", field="run", remedy="start one: turnup bill run")
        return run

    def _shard(self, unit: Unit, run_id: RunId, n: int) -> runs.ShardRow:
        shard = runs.lock_shard(unit.connection, run_id, n)
        if shard is None:
            raise NotFound(
                f"run {run_id} has no shard {n}", field="shard", remedy="see turnup bill run --json"
            )
        return shard

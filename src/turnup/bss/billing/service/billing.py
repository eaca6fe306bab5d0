"""The face of billing: implements contracts.billing Reads and Commands by the use cases beside it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from uuid import UUID

from turnup.bss.billing.model import DunningPolicy, FactKind, Policies, ServiceTime
from turnup.bss.billing.rules.policies import frozen_policies
from turnup.bss.billing.service import documents, dunning, facts, payments
from turnup.bss.billing.service.runs import BillRuns, policy_snapshot
from turnup.bss.billing.store import accounts, runs
from turnup.bss.billing.store import documents as posted
from turnup.bss.billing.store import payments as kept_payments
from turnup.bss.billing.store.bulk import Connection
from turnup.contracts import catalog, configuration, crm
from turnup.contracts.billing import (
    BilledService,
    Commands,
    InvoiceHead,
    InvoiceView,
    OutageCredited,
    PaymentView,
    Reads,
    RunProgress,
    UnmatchedPayment,
)
from turnup.contracts.unit import Unit
from turnup.kernel.clock import Clock
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import AccountId, InvoiceId, PaymentId, ProductId, RunId, ServiceId
from turnup.kernel.money import RATED_SCALE, divide
from turnup.runtime.rows import Rows, Wanted

Snapshot = Callable[[], AbstractContextManager[Connection]]


class Billing(Reads, Commands):
    """Reads open a snapshot of their own; commands work in the unit they are given."""

    def __init__(
        self,
        snapshot: Snapshot,
        clock: Clock,
        catalog_reads: catalog.Reads,
        crm_reads: crm.Reads,
        freezes: configuration.Freezes | None = None,
    ) -> None:
        self._freezes = freezes
        self._snapshot = snapshot
        self._clock = clock
        self._catalog = catalog_reads
        self._crm = crm_reads
        self.runs = BillRuns(catalog_reads)

    # Reads

    def invoice(self, invoice_id: InvoiceId) -> InvoiceView | None:
        with self._snapshot() as connection:
            row = posted.invoice(connection, invoice_id)
            return documents.posted_view(connection, row) if row else None

    def invoice_by_number(self, number: str) -> InvoiceView | None:
        with self._snapshot() as connection:
            row = posted.invoice_by_number(connection, number)
            return documents.posted_view(connection, row) if row else None

    def invoices(self, account_id: AccountId) -> Sequence[InvoiceView]:
        with self._snapshot() as connection:
            return [documents.posted_view(connection, r) for r in posted.invoices_of(connection, account_id)]

    def invoices_of(self, account_ids: Sequence[AccountId], limit: int) -> Sequence[InvoiceView]:
        with self._snapshot() as connection:
            found = posted.newest_of(connection, account_ids, limit)
        return [documents.posted_head(row) for row in found]

    def posted_in(self, run_id: RunId, shard: int) -> Sequence[InvoiceHead]:
        with self._snapshot() as connection:
            return posted.posted_in(connection, run_id, shard)

    def invoice_rows(self, wanted: Wanted) -> Rows[InvoiceView]:
        """A page of the posted invoices, without their lines."""
        with self._snapshot() as connection:
            found = posted.page(connection, wanted)
        return Rows([(key, documents.posted_head(row)) for key, row in found.items], found.total)

    def account_by_number(self, number: str) -> AccountId | None:
        """Of the accounts billing knows."""
        with self._snapshot() as connection:
            account = accounts.find_account_by_number(connection, number)
        return account.id if account else None

    def currency_of(self, account_id: AccountId) -> str:
        """The currency an account is kept in; NotFound for one that billing does not know."""
        with self._snapshot() as connection:
            account = accounts.find_account(connection, account_id)
        if account is None:
            raise NotFound(
                f"billing knows no account {account_id}", field="account", remedy="check the number"
            )
        return account.currency

    def preview(self, account_id: AccountId, as_of: date) -> InvoiceView | None:
        policies = self._policies(self._clock.now())
        with self._snapshot() as connection:
            return documents.preview(connection, account_id, as_of, policies)

    def last_numbers(self) -> Mapping[tuple[UUID, str], int]:
        """The highest document number given away, by legal entity and series."""
        with self._snapshot() as connection:
            return runs.last_numbers(connection)

    def skip_numbers(self, unit: Unit, legal_entity_id: UUID, series: str, last: int) -> None:
        """Numbers up to `last` stand on documents that these books have lost: none is given away again."""
        before = runs.last_numbers(unit.connection).get((legal_entity_id, series), 0)
        if last <= before:
            return
        runs.skip_numbers(unit.connection, legal_entity_id, series, last)
        unit.audit("billing.numbers_skipped", legal_entity_id, before=before, after={series: last})

    def run(self, run_id: RunId) -> RunProgress | None:
        with self._snapshot() as connection:
            run = runs.find_run(connection, run_id)
            if run is None:
                return None
            sums = runs.totals(connection, run_id)
        return RunProgress(
            run_id=run_id,
            state=run.state.value,
            accounts=sums.accounts,
            invoices=sums.invoices,
            parked=sums.parked,
            shards_total=run.shards,
            shards_done=sums.posted,
            total_minor=sums.total_minor,
        )

    def parked(self, run_id: RunId) -> Sequence[tuple[AccountId, str]]:
        """The accounts a run could not bill, and why."""
        with self._snapshot() as connection:
            return [(AccountId(account), reason) for account, reason in runs.parked(connection, run_id)]

    def balance_minor(self, account_id: AccountId) -> int:
        with self._snapshot() as connection:
            return posted.balance_minor(connection, account_id)

    def payment(self, payment_id: PaymentId) -> PaymentView | None:
        """A payment that is booked."""
        with self._snapshot() as connection:
            return kept_payments.booked(connection, payment_id)

    def payment_rows(self, wanted: Wanted) -> Rows[PaymentView]:
        """A page of the booked payments, for lists."""
        with self._snapshot() as connection:
            return kept_payments.payment_rows(connection, wanted)

    def balances_minor(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, int]:
        with self._snapshot() as connection:
            return posted.balances_minor(connection, account_ids)

    def payments_of(self, account_ids: Sequence[AccountId], limit: int) -> Sequence[PaymentView]:
        with self._snapshot() as connection:
            return kept_payments.newest_of(connection, account_ids, limit)

    def unmatched_payments(
        self, *, offset: int = 0, limit: int = 100
    ) -> tuple[Sequence[UnmatchedPayment], int]:
        """Payments that belong to nobody yet, the oldest first: a page of them, and how many there are."""
        with self._snapshot() as connection:
            found, total = kept_payments.unmatched(connection, offset=offset, limit=limit)
        return [
            UnmatchedPayment(
                id=PaymentId(each.id),
                amount_minor=each.amount_minor,
                currency=each.currency,
                reference=each.reference,
                received_on=each.received_on,
                reason=each.reason,
            )
            for each in found
        ], total

    def billed_services(self) -> Sequence[BilledService]:
        with self._snapshot() as connection:
            found = accounts.monthly_charges(connection, self._clock.now())
        return [
            BilledService(
                service_id=ServiceId(service),
                product_id=ProductId(product),
                account_id=AccountId(account),
                billing_active=status is not None and charged,
                suspended=status == ServiceTime.SUSPENDED,
                monthly_minor=divide(price, RATED_SCALE),
                currency=currency,
                billing_start=billing_start,
            )
            for service, product, account, status, price, currency, billing_start, charged in found
        ]

    def explain(self, number: str) -> str:
        """The invoice as text, every line with its arithmetic. NotFound for an unknown number."""
        return documents.explain(self.by_number(number))

    def pdf(self, number: str, seller: str | None = None) -> bytes:
        """The printed invoice; name and address come from crm as they are today, of somebody who was erased
        as they were then. `seller` stands at its head;
        without one, the account's legal entity does."""
        invoice = self.by_number(number)
        account = self._crm.account(invoice.account_id)
        recipient = self._crm.recipient(account.customer_id) if account else None
        if seller is None and account is not None:
            seller = self._crm.legal_entity_name(account.legal_entity_id)
        return documents.render_pdf(
            invoice,
            recipient=recipient,
            account_number=account.number if account else "",
            seller=seller or "",
        )

    def by_number(self, number: str) -> InvoiceView:
        """NotFound for an unknown number."""
        invoice = self.invoice_by_number(number)
        if invoice is None:
            raise NotFound(
                f"there is no invoice {number}", field="invoice", remedy="numbers look like INV-00000001"
            )
        return invoice

    # Commands

    def start_run(self, unit: Unit, bill_date: date, legal_entity: str | None = None) -> RunId:
        entity = None
        if legal_entity is not None:
            entity = self._crm.legal_entity(legal_entity)
            if entity is None:
                raise NotFound(
                    f"there is no legal entity {legal_entity!r}",
                    field="legal_entity",
                    remedy="check its code",
                )
        return self.runs.start(unit, bill_date, entity)

    def pay(
        self,
        unit: Unit,
        account_id: AccountId,
        amount_minor: int,
        currency: str,
        reference: str,
        received_on: date,
    ) -> PaymentId:
        return payments.pay(
            unit, account_id, amount_minor, currency, reference, received_on, self._dunning(unit.now)
        )

    def import_payments(self, unit: Unit, name: str, content: bytes, currency: str) -> payments.FileImport:
        """A payment file, see service.payments.import_file."""
        return payments.import_file(unit, name, content, currency, self._dunning(unit.now))

    def assign_payment(self, unit: Unit, payment_id: PaymentId, account_id: AccountId) -> None:
        """An unmatched payment is this account's, see service.payments.assign."""
        payments.assign(unit, payment_id, account_id, self._dunning(unit.now))

    def dunning_tick(self, unit: Unit, today: date) -> int:
        """Raises Frozen while everything is frozen: dunning pauses with the network."""
        freeze = self._freezes.everything_frozen() if self._freezes else None
        if freeze is not None:
            raise configuration.Frozen(
                f"dunning pauses: everything is frozen by {freeze.frozen_by}, {freeze.reason}",
                field="today",
                remedy=f"it goes on after: turnup freeze lift {freeze.id}",
            )
        return dunning.tick(unit, today, self._dunning(unit.now))

    def repair_billable(
        self, unit: Unit, service_id: ServiceId, *, active: bool, since: datetime, reason: str
    ) -> None:
        kind = FactKind.BILLING_ON if active else FactKind.BILLING_OFF
        facts.record_service_fact(unit, service_id, kind, since, reason)
        unit.audit("billable.repaired", service_id, after={"active": active, "since": since.isoformat()})

    def record_outage(
        self, unit: Unit, problem_id: UUID, service_id: ServiceId, started_at: datetime, ended_at: datetime
    ) -> None:
        """Keep the outage, and say what the next bill will credit for it as things stand."""
        account_id = facts.record_outage(unit, problem_id, service_id, started_at, ended_at)
        if account_id is None:
            return
        amount = documents.credit_for(unit.connection, account_id, problem_id, self._policies(unit.now))
        if amount is not None:
            unit.emit(
                OutageCredited(
                    account_id=account_id,
                    service_id=service_id,
                    minutes=int((ended_at - started_at).total_seconds()) // 60,
                    amount_minor=amount[0],
                    currency=amount[1],
                )
            )

    def _policies(self, at: datetime) -> Policies:
        return frozen_policies(policy_snapshot(self._catalog, at))

    def _dunning(self, at: datetime) -> Mapping[str, DunningPolicy]:
        return self._policies(at).dunning

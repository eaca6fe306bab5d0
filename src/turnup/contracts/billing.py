"""What others may know of billing: what was billed and why, what was paid, what dunning decided.

Billing never sees orders: it knows price agreements, and service events with the network's instants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, Protocol

from turnup.contracts.unit import Event, Unit
from turnup.kernel.ids import AccountId, InvoiceId, PaymentId, ProductId, RunId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLineView:
    n: int
    kind: str
    """one_time | recurring | usage | credit | tax …"""
    text: str
    product_id: ProductId | None
    service_id: ServiceId | None
    period_from: date | None
    period_to: date | None
    """Half-open."""
    net_minor: int
    tax_minor: int
    gross_minor: int
    explanation: str
    """Every cent: price, convention, days over days, units, rate, source event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceView:
    id: InvoiceId
    number: str | None
    """None while a draft."""
    account_id: AccountId
    kind: str
    state: str
    """draft | posted | void"""
    invoice_date: date
    due_date: date
    period_from: date
    period_to: date
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    open_minor: int
    lines: tuple[InvoiceLineView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceHead:
    """What of a posted invoice never changes, without its lines."""

    id: InvoiceId
    number: str
    account_id: AccountId
    kind: str
    invoice_date: date
    due_date: date
    period_from: date
    period_to: date
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    run_id: RunId
    state: str
    """preparing | drafting | posting | done | failed"""
    accounts: int
    invoices: int
    parked: int
    shards_total: int
    shards_done: int
    total_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledService:
    """For reconciliation: does billing charge for this service, and how much per month."""

    service_id: ServiceId
    product_id: ProductId
    account_id: AccountId
    billing_active: bool
    suspended: bool
    monthly_minor: int
    currency: str
    billing_start: str = "acceptance"
    """What billing waits for: acceptance | first_online | ready+N."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledView:
    """What of a payment went to one invoice."""

    invoice_id: InvoiceId
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentView:
    """Money that came in and is booked for an account."""

    id: PaymentId
    account_id: AccountId
    amount_minor: int
    currency: str
    method: str
    """manual | file …"""
    reference: str
    received_on: date
    settled: tuple[SettledView, ...]
    """Less than the amount: the rest waits for the next invoice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedPayment:
    """Money that came in and belongs to nobody yet; `reason` says why."""

    id: PaymentId
    amount_minor: int
    currency: str
    reference: str
    received_on: date
    reason: str


class Reads(Protocol):
    def invoice(self, invoice_id: InvoiceId) -> InvoiceView | None: ...
    def invoice_by_number(self, number: str) -> InvoiceView | None: ...
    def invoices(self, account_id: AccountId) -> Sequence[InvoiceView]: ...
    def invoices_of(self, account_ids: Sequence[AccountId], limit: int) -> Sequence[InvoiceView]:
        """Posted invoices of these accounts without their lines, the latest first."""
        ...

    def posted_in(self, run_id: RunId, shard: int) -> Sequence[InvoiceHead]:
        """The invoices of one shard of a run, by number (see InvoicesPosted)."""
        ...

    def preview(self, account_id: AccountId, as_of: date) -> InvoiceView | None:
        """What the next bill would say, computed by the frames the run uses."""
        ...

    def run(self, run_id: RunId) -> RunProgress | None: ...
    def balance_minor(self, account_id: AccountId) -> int: ...
    def balances_minor(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, int]:
        """What each of them owes (+) or has left (-)."""
        ...

    def payments_of(self, account_ids: Sequence[AccountId], limit: int) -> Sequence[PaymentView]:
        """The latest first."""
        ...

    def billed_services(self) -> Sequence[BilledService]: ...
    def unmatched_payments(
        self, *, offset: int = 0, limit: int = 100
    ) -> tuple[Sequence[UnmatchedPayment], int]:
        """A page of them, the oldest first, and how many there are."""
        ...


class Commands(Protocol):
    def start_run(self, unit: Unit, bill_date: date, legal_entity: str | None = None) -> RunId:
        """Bill every account whose next bill date has come; idempotent per bill date and entity. Starts the
        durable run; follow it by `Reads.run`."""
        ...

    def pay(
        self,
        unit: Unit,
        account_id: AccountId,
        amount_minor: int,
        currency: str,
        reference: str,
        received_on: date,
    ) -> PaymentId:
        """A payment arrived; idempotent by reference. Oldest invoices first."""
        ...

    def assign_payment(self, unit: Unit, payment_id: PaymentId, account_id: AccountId) -> None:
        """An unmatched payment is this account's; idempotent. Conflict when it is another's already."""
        ...

    def dunning_tick(self, unit: Unit, today: date) -> int:
        """Decide the due dunning steps; returns how many were taken."""
        ...

    def repair_billable(
        self,
        unit: Unit,
        service_id: ServiceId,
        *,
        active: bool,
        since: datetime,
        reason: str,
    ) -> None:
        """Reconciliation mends the books: bill a live service that is not billed, stop billing a dead one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicesPosted(Event):
    """One event per shard of a run; the invoices by reference."""

    aggregate: ClassVar[str] = "run_id"
    run_id: RunId
    shard: int
    invoices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReceived(Event):
    """Money came in and was booked."""

    aggregate: ClassVar[str] = "account_id"
    account_id: AccountId
    payment_id: PaymentId
    amount_minor: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DunningStepReached(Event):
    """`action`: remind | suspend | restore. Orders raises the suspension; crm sends the reminder."""

    aggregate: ClassVar[str] = "account_id"
    account_id: AccountId
    step: int
    action: str
    case: str
    """Names this dunning case and step for ever: the idempotency key of what follows."""
    overdue_minor: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageCredited(Event):
    """An outage credit was granted for a service; it is on the next invoice."""

    aggregate: ClassVar[str] = "account_id"
    account_id: AccountId
    service_id: ServiceId
    minutes: int
    amount_minor: int
    currency: str

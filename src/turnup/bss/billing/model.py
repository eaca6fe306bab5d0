"""Nouns of billing: facts, policies, decisions. Frozen; amounts are integers (see kernel.money)."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from turnup.kernel.ids import AccountId, InvoiceId
from turnup.kernel.money import Rounding

SHARE_SCALE = 1_000_000
"""Shares and tax rates are integers: millionths of the whole (ppm)."""


class ChargeKind(StrEnum):
    ONE_TIME = "one_time"
    RECURRING = "recurring"
    USAGE = "usage"


class LineKind(StrEnum):
    ONE_TIME = "one_time"
    RECURRING = "recurring"
    USAGE = "usage"
    CREDIT = "credit"
    OPENING = "opening"


class FactKind(StrEnum):
    """What a service's history is made of, as far as billing cares."""

    READY = "ready"
    """Configured and verified for the first time."""
    FIRST_ONLINE = "first_online"
    ACCEPTED = "accepted"
    ADOPTED = "adopted"
    """Taken over running from a former system: billing continues at once."""
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    CEASED = "ceased"
    BILLING_ON = "billing_on"
    """Reconciliation found it live and not billed."""
    BILLING_OFF = "billing_off"
    """Reconciliation found it dead and billed."""


class ServiceTime(StrEnum):
    """How a stretch of a service's time counts."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class RunState(StrEnum):
    """Forward only, except that a run without invoices goes from drafting to done."""

    DRAFTING = "drafting"
    POSTING = "posting"
    DONE = "done"


class ShardState(StrEnum):
    PENDING = "pending"
    DRAFTED = "drafted"
    POSTED = "posted"


class Granularity(StrEnum):
    """What a partial period is measured in."""

    DAY = "day"
    """Whole local days; the day of a change belongs to what comes after it."""
    SECOND = "second"
    """Elapsed seconds; a month with a clock change is an hour longer or shorter."""


class TaxPoint(StrEnum):
    """Which day's tax rate applies to a line."""

    PERIOD_END = "period_end"
    """The last day of the supply the line charges (partial supplies, EU VAT directive art. 64)."""
    INVOICE_DATE = "invoice_date"


class Allowance(StrEnum):
    """How many free units a partial period brings."""

    PRORATED = "prorated"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class ServiceFact:
    """Something that happened to a service, at the network's instant (UTC)."""

    kind: FactKind
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedCharge:
    """One charge of an agreed price. `amount_micro` is per `months`, or per `unit` of usage."""

    id: UUID
    code: str
    name: str
    kind: str
    amount_micro: int
    currency: str
    tax_category: str
    months: int
    in_advance: bool
    unit: str | None
    unit_octets: int | None
    included_octets: int | None
    cycles: int | None = None
    """Recurring: owed for so many bill cycles from the start of the agreement."""


@dataclass(frozen=True, slots=True)
class BillableTime:
    """A stretch `[start, end)` in which a service counts; `end` None: still running. `cause` began it."""

    status: ServiceTime
    start: datetime
    end: datetime | None
    cause: FactKind


@dataclass(frozen=True, slots=True)
class Derivation:
    """One invoice line and all that explains it.

    recurring: `price_micro` x `numerator` / `denominator` (days or seconds, by `granularity`) of the period.
    usage: `quantity` octets less `included`, at `price_micro` per `unit`. credit: `share_ppm` of the price
    per month for an outage of `quantity` minutes. `net_minor` is `owed_minor` less `billed_before_minor`.
    """

    n: int
    kind: str
    name: str
    product_id: UUID
    service_id: UUID
    period_from: date
    period_to: date
    served_from: date
    served_to: date
    months: int
    unit: str | None
    unit_octets: int | None
    price_micro: int
    numerator: int
    denominator: int
    quantity: int | None
    included: int | None
    share_ppm: int | None
    owed_minor: int
    billed_before_minor: int
    net_minor: int
    tax_ppm: int
    tax_minor: int
    granularity: str
    rounding: str
    zone: str
    source_id: UUID | None


@dataclass(frozen=True, slots=True)
class BillingPolicy:
    """The conventions a run follows, each a named option."""

    granularity: Granularity = Granularity.DAY
    rounding: Rounding = Rounding.HALF_AWAY
    tax_point: TaxPoint = TaxPoint.PERIOD_END
    allowance: Allowance = Allowance.PRORATED
    charge_while_suspended: bool = True
    payment_terms_days: int = 14
    series: str = "INV"
    """Invoice numbers are gapless per legal entity and series."""


@dataclass(frozen=True, slots=True)
class CreditPolicy:
    """What an outage is worth: a share of the monthly charge per started hour or day."""

    minimum_minutes: int = 60
    per_minutes: int = 60
    share_ppm: int = 0
    cap_ppm: int = SHARE_SCALE
    """Upper bound of all credits of one agreement and bill period."""


@dataclass(frozen=True, slots=True, order=True)
class DunningStep:
    days_overdue: int
    action: str
    """remind | suspend"""
    minimum_minor: int = 0


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Steps in the order of their days; the step number is its position, from 1."""

    steps: tuple[DunningStep, ...]
    minimum_open_minor: int = 0
    """An account that owes less is never dunned."""


@dataclass(frozen=True, slots=True)
class TaxRate:
    tax_class: str
    """Of the account."""
    category: str
    """Of the price."""
    rate_ppm: int
    valid_from: date


@dataclass(frozen=True, slots=True)
class Policies:
    """Everything a run is judged by, frozen with it."""

    billing: BillingPolicy
    credit: dict[str, CreditPolicy]
    dunning: dict[str, DunningPolicy]
    tax: tuple[TaxRate, ...]


@dataclass(frozen=True, slots=True)
class Arrears:
    """What an account owes today: `since` is the due date of the oldest unpaid invoice."""

    account_id: AccountId
    policy: str
    currency: str
    since: date
    overdue_minor: int
    step: int
    """The last step taken, 0 for none."""
    last_step_on: date | None = None


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A dunning case that is not released."""

    id: UUID
    account_id: AccountId
    policy: str
    currency: str
    zone: str
    step: int
    suspended: bool


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    id: InvoiceId
    due_date: date
    open_minor: int


@dataclass(frozen=True, slots=True)
class CreditSource:
    """Money not yet used: a payment, or an invoice that came out negative. `kind`: payment | invoice."""

    kind: str
    id: UUID
    since: date
    left_minor: int


@dataclass(frozen=True, slots=True)
class Settlement:
    source: CreditSource
    invoice_id: InvoiceId
    amount_minor: int

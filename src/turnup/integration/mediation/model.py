"""Nouns of mediation: a running customer as a former system's export describes it; connectors and rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum

from turnup.contracts.crm import NewPaymentMethod
from turnup.contracts.orders import RunningPromotion


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCustomer:
    """The canonical record of one customer with one running service (a row of customers.csv)."""

    external_id: str
    name: str
    kind: str
    email: str | None
    phone: str | None
    language: str
    street: str
    postcode: str
    city: str
    country: str
    latitude: Decimal | None
    longitude: Decimal | None
    offering: str
    characteristics: dict[str, str]
    access_port: str
    vlan: int
    ont_serial: str | None
    login: str
    secret: str
    ipv4: str | None
    ipv6_wan: str | None
    ipv6_pd: str | None
    element_key: str | None
    """The key (a UUID) under which the network elements know the service; None: derived."""
    status: str
    """active | suspended"""
    started_at: datetime
    balance_minor: int
    """Debt (+) or credit (-) on the day of the takeover."""
    billed_through: date | None
    bill_cycle_day: int
    next_bill_date: date | None = None
    management: str = "adopted"
    """observed | adopted"""
    promotion: RunningPromotion | None = None
    payment_methods: tuple[NewPaymentMethod, ...] = ()
    monthly_net_minor: int | None = None
    """What the former system charges per month, net; only compared."""


# --- connectors ------------------------------------------------------------------------------------------


class Direction(StrEnum):
    IN = "in"
    OUT = "out"


class Mode(StrEnum):
    SHADOW = "shadow"
    """Reads and counts; nothing is changed, sent, moved or acknowledged."""
    LIVE = "live"


class RecordKind(StrEnum):
    CUSTOMERS = "customers"
    ORDERS = "orders"
    INVOICES = "invoices"
    PAYMENTS = "payments"
    SERVICE_STATES = "service-states"


DIRECTION_OF = {
    RecordKind.CUSTOMERS: Direction.IN,
    RecordKind.ORDERS: Direction.IN,
    RecordKind.INVOICES: Direction.OUT,
    RecordKind.PAYMENTS: Direction.OUT,
    RecordKind.SERVICE_STATES: Direction.OUT,
}


class RowState(StrEnum):
    CAPTURED = "captured"
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"
    DISCARDED = "discarded"


class FileState(StrEnum):
    CAPTURED = "captured"
    APPLIED = "applied"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How one canonical field is made of a row: the column `source` or a `constant`, then the
    transformations in this order: `apply`, `values` (a mapping), `type`."""

    to: str
    source: str | None = None
    constant: str | None = None
    apply: tuple[str, ...] = ()
    values: Mapping[str, str] | None = None
    type: str = "text"
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFormat:
    """How the other system writes CSV."""

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    date: str = "%Y-%m-%d"
    trailer: str | None = None
    """In: the first cell of the last line, whose second cell is the number of rows; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """When an incoming file is complete: `stable` (same size and time at two polls at least `seconds`
    apart), `marker` (a file NAME + `suffix` lies beside it) or `rename` (the sender renames into place)."""

    by: str = "stable"
    seconds: int = 60
    suffix: str = ".done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every so many seconds, or daily at a local time."""

    every_s: int | None = None
    daily_at: time | None = None
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """One version of a connector's document, checked."""

    name: str
    version: int
    kind: RecordKind
    mode: Mode
    system: str
    """Names the other system in the crosswalk."""
    host: str
    port: int
    host_key: str
    username: str
    folder: str
    pattern: str
    """In: which files. Out: unused."""
    file_name: str
    """Out: with {number}."""
    done: str
    failed: str
    ack: str | None
    schedule: Schedule
    ready: Ready
    format: TextFormat
    key: tuple[str, ...]
    key_within: str
    """connector | file: within what a row's key names one thing for ever (orders)."""
    columns: tuple[Column, ...]
    bytes_max: int
    since: str
    """Out: beginning | now."""

    @property
    def direction(self) -> Direction:
        return DIRECTION_OF[self.kind]


@dataclass(frozen=True, slots=True)
class RawRow:
    """One data row as it came: its line in the file, its columns, or what is wrong with its shape."""

    n: int
    raw: Mapping[str, str]
    broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row in canonical fields. `key` names what it is about; `digest` tells whether it changed."""

    key: str
    values: Mapping[str, str]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row."""

    state: RowState
    key: str | None = None
    field: str | None = None
    reason: str | None = None
    remedy: str | None = None
    difference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened and goes out; `facts` are ids and numbers, no personal data."""

    position: int
    kind: RecordKind
    facts: Mapping[str, str]
    at: datetime

"""Nouns of reconciliation: what each side says of a service, and a mismatch between them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class SoldAs(StrEnum):
    NO = "no"
    ACTIVE = "active"
    SUSPENDED = "suspended"


class DesiredAs(StrEnum):
    NO = "no"
    FULL = "full"
    WALLED = "walled"


class BilledAs(StrEnum):
    UNKNOWN = "unknown"
    """Billing has never heard of a price for it."""
    FREE = "free"
    """An agreement without recurring charges."""
    STOPPED = "stopped"
    RUNNING = "running"


class Held(StrEnum):
    """How one element stands to one service."""

    EQUAL = "equal"
    UNKNOWN = "unknown"
    """The element did not answer."""
    STRAY = "stray"
    """Intended or there, though nothing should be."""
    NOT_INTENDED = "not_intended"
    """There, but configuration's books have lost it."""
    NOT_CONFIGURED = "not_configured"
    """Neither there nor in configuration's books."""
    MISSING = "missing"
    DRIFT = "drift"
    OPENED = "opened"
    """Walled by intent, open in fact."""
    WALLED = "walled"
    """Open by intent, walled in fact."""


class Repair(StrEnum):
    """Who mends it: the first three need nobody, when `safe`."""

    APPLY = "apply"
    START_BILLING = "start billing"
    STOP_BILLING = "stop billing"
    PERSON = ""


@dataclass(frozen=True, slots=True)
class Sold:
    service_id: UUID
    status: str
    """TMF637, as orders has it."""
    end: datetime | None
    in_flight: bool
    """An order is at work on it."""


@dataclass(frozen=True, slots=True)
class Desired:
    service_id: UUID
    number: str
    admission: str
    observed: bool
    """Brownfield: Turnup may look at it, no more."""
    proved: bool
    """The generation desired was verified."""
    online: bool | None
    configured_at: datetime | None
    first_online_at: datetime | None
    accepted_at: datetime | None
    elements: tuple[str, ...]
    """Codes of the elements that should hold a fragment."""


@dataclass(frozen=True, slots=True)
class Billed:
    service_id: UUID
    active: bool
    monthly_minor: int
    currency: str
    billing_start: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What an element's own state differs in, from what configuration intends for it."""

    service_id: UUID
    element: str
    held: Held
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is compared, as read within some seconds. `intended`: (service, element code)."""

    sold: tuple[Sold, ...] = ()
    desired: tuple[Desired, ...] = ()
    billed: tuple[Billed, ...] = ()
    intended: tuple[tuple[UUID, str], ...] = ()
    seen: tuple[Seen, ...] = ()
    unreachable: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the sides say of one service, as far as it decides anything; thousands of services share one."""

    sold: SoldAs
    desired: DesiredAs
    observed: bool
    billed: BilledAs
    billing_due: bool
    online: bool
    stray: bool
    """Some element holds, or should by configuration's books hold, what nobody desires."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A mismatch by its name. `sign`: +1 revenue is lost, -1 too much is billed, 0 neither."""

    kind: str
    owner: str
    """billing | network | orders"""
    repair: Repair
    safe: bool
    sign: int
    explanation: str
    remedy: str = ""
    """What a person would do, where it is not safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One mismatch of one service, on one element or ("") between the books. Money per month, minor units."""

    kind: str
    service_id: UUID
    number: str | None
    element: str
    detail: str
    monthly_minor: int
    currency: str
    owner: str
    repair: Repair
    remedy: str
    safe: bool
    since: datetime | None
    """From when a repair of the books should count; None: from when it was found."""

    @property
    def key(self) -> tuple[str, UUID, str]:
        return self.kind, self.service_id, self.element


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`in_flight`: services something is at work on, never findings. `unknown`: services with an element that
    did not answer (`unreachable`)."""

    checked: int
    unknown: int
    in_flight: frozenset[UUID]
    unreachable: frozenset[str]
    mismatches: tuple[Mismatch, ...]

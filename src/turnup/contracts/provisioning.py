"""What others may know of provisioning: the desired and the proven state of every service.

Activation, plan change, suspension, walled garden, resume, cease and drift repair are one mechanism:
desired, actual, difference, apply, verify. "Active" is never assumed: configuration present, subscriber
online and traffic seen are three facts, each with the instant it was last read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol

from turnup.contracts.catalog import ServiceSpec
from turnup.contracts.configuration import ApplyOutcome
from turnup.contracts.inventory import Reservation
from turnup.contracts.unit import Event, Unit
from turnup.kernel.errors import TurnupError
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ElementId, HoldId, ProductId, ServiceId


class ServiceState(StrEnum):
    RESERVED = "reserved"
    AWAITING_EQUIPMENT = "configured_awaiting_equipment"
    CONFIGURED = "configured"
    ONLINE = "online"
    ACCEPTED = "accepted"
    SUSPENDED = "suspended"
    CEASED = "ceased"


class Management(StrEnum):
    """Brownfield: how far Turnup may go with a service."""

    OBSERVED = "observed"
    ADOPTED = "adopted"
    MANAGED = "managed"


class Admission(StrEnum):
    """What the network should let the subscriber do."""

    FULL = "full"
    WALLED = "walled"
    NONE = "none"


class CauseKind(StrEnum):
    """Who wants a change. All but the first two are automatic and count against the brake."""

    ASKED = "asked"
    """A person, or the subscriber's own order: one by one."""
    UNDO = "undo"
    """Back to what was before a change that did not come about."""
    DUNNING = "dunning"
    REPAIR = "repair"
    IMPORT = "import"
    EVENT = "event"
    """A handler of what another component or the network reports."""
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a desired state changes. `key` names the request for ever: the same key again is the same request
    and counts once. `text` is shown to people."""

    kind: CauseKind
    key: str
    text: str = ""

    @property
    def automatic(self) -> bool:
        """Nobody asked for it one by one: it counts against the brake."""
        return self.kind not in (CauseKind.ASKED, CauseKind.UNDO)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementMove:
    """What became of a wish to manage a service otherwise. `refused`: why it stays as it was. `taken`: values
    of the desired state that were taken from the elements, (before, now)."""

    service_id: ServiceId
    number: str
    before: Management
    now: Management
    refused: str | None = None
    taken: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class ChangeHeld(TurnupError):
    """The brake holds this automatic change until a named person releases it; nothing was changed."""

    code: ClassVar[str] = "change_held"
    status: ClassVar[int] = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """The three facts, each None until seen: instants at which the network last proved it."""

    configuration_present: bool | None = None
    configuration_read_at: datetime | None = None
    online: bool | None = None
    online_changed_at: datetime | None = None
    traffic_seen_at: datetime | None = None
    speeds_kbps: tuple[int, int] | None = None
    """(down, up) of the live session as last read from the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    id: ServiceId
    number: str
    product_id: ProductId
    customer_id: CustomerId
    account_id: AccountId
    spec_code: str
    state: ServiceState
    management: Management
    admission: Admission
    generation: int
    verified_generation: int
    """Equal to `generation` when what should be is what is."""
    characteristics: Mapping[str, str]
    login: str
    facts: ServiceFacts
    site: str | None = None
    elements: Mapping[str, ElementId] = field(default_factory=dict)
    """Role (`inventory.role_of`) -> the element that should hold a fragment for it now; empty once ceased."""
    configured_at: datetime | None = None
    first_online_at: datetime | None = None
    accepted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """Design or redesign one service. Same content again: no new generation."""

    service_id: ServiceId
    product_id: ProductId
    customer_id: CustomerId
    account_id: AccountId
    address_id: AddressId | None
    spec: ServiceSpec
    characteristics: Mapping[str, str]
    admission: Admission = Admission.FULL
    management: Management = Management.MANAGED
    login: str | None = None
    secret: str | None = None
    """CHAP secret of a service taken over; None: a new one is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Realisation:
    """What one run of plan/apply/verify found and did."""

    service_id: ServiceId
    generation: int
    ok: bool
    outcomes: tuple[ApplyOutcome, ...]
    turnup_ms: float
    device_ms: float
    speeds_kbps: tuple[int, int] | None = None
    """(down, up) of the live session as the NAS reported it afterwards; None when offline."""
    error: str | None = None
    transient: bool = False
    frozen: bool = False
    """An element is frozen: it goes on when that is lifted."""


class HoldState(StrEnum):
    HELD = "held"
    RELEASED = "released"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    """Whoever wanted it does not any more: the customer paid, the order was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """An automatic change that the brake held. `n` rises in the order in which they came."""

    id: HoldId
    n: int
    cause: Cause
    actor: str
    what: str
    """suspend | cease | reconfigure | repair"""
    service_ids: tuple[ServiceId, ...]
    held_at: datetime
    state: HoldState
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeView:
    """The brake now: `used` of `limit` services changed by themselves within the last hour."""

    limit: int
    used: int
    services: int
    services_min: int
    share_percent: str
    waiting: int
    waiting_services: int
    waiting_since: datetime | None


RELEASE_HOLDS = "brake.release"
"""The name of releasing holds, where four eyes guard it. Arguments: `holds` (ids; null: all), `reason`."""


class Reads(Protocol):
    def service(self, service_id: ServiceId) -> ServiceView | None: ...
    def service_by_number(self, number: str) -> ServiceView | None: ...
    def service_by_login(self, login: str) -> ServiceView | None: ...
    def services_by_login(self, logins: Sequence[str]) -> Mapping[str, ServiceId]:
        """Those that have a service, many at once."""
        ...

    def services(self, service_ids: Sequence[ServiceId] | None = None) -> Sequence[ServiceView]: ...
    def services_of_accounts(self, account_ids: Sequence[AccountId]) -> Sequence[ServiceView]:
        """Every service that they have or had, by number."""
        ...

    def brake(self) -> BrakeView: ...
    def holds(self, *, open_only: bool = True) -> Sequence[HoldView]:
        """What the brake held, in the order in which it came."""
        ...

    def hold_of(self, key: str) -> HoldView | None:
        """The hold of the request with this key."""
        ...


class Commands(Protocol):
    """Every change of a desired state names its cause. An automatic one goes through `admit` first; without,
    or where that said no, the change raises ChangeHeld."""

    def design(self, unit: Unit, request: ServiceRequest, reservation: Reservation, cause: Cause) -> int:
        """Set what the network should hold for it; returns the generation (raised only by change)."""
        ...

    def set_admission(self, unit: Unit, service_id: ServiceId, admission: Admission, cause: Cause) -> int:
        """Full service, walled garden, or none (cease); returns the generation."""
        ...

    def admit(self, unit: Unit, wanted: Mapping[ServiceId, Admission | None], cause: Cause) -> bool:
        """Whether these changes may go on now, all of them or none; None: redesigned, admission stays. False:
        the brake holds them (or a person refused them): see `hold_of`. One answer per cause key, for ever."""
        ...

    def admit_repair(self, unit: Unit, service_id: ServiceId) -> bool:
        """Whether its desired state may be applied again by itself now. False: the brake holds it, and
        applies it when released; or it would keep somebody out, and that is a person's to repair."""
        ...

    def withdraw(self, unit: Unit, key: str, reason: str) -> None:
        """Nobody wants this any more: its hold, if there is one, is over."""
        ...

    def release_holds(self, unit: Unit, hold_ids: Sequence[HoldId] | None, reason: str) -> int:
        """A named person lets these (None: all) go on; returns how many were waiting until now."""
        ...

    def refuse_holds(self, unit: Unit, hold_ids: Sequence[HoldId] | None, reason: str) -> int:
        """A named person refuses these (None: all): they never happen; returns how many were waiting."""
        ...

    def record_realised(self, unit: Unit, realisation: Realisation) -> None:
        """Note what apply proved; moves the service's state and emits its event."""
        ...

    def accept(self, unit: Unit, service_id: ServiceId, at: datetime) -> None:
        """Someone accepts the service (spec with manual acceptance)."""
        ...

    def adopt(self, unit: Unit, request: ServiceRequest, reservation: Reservation, at: datetime) -> None:
        """A service that runs already (import): desired is what it has, nothing is sent, no event makes
        anybody act. It counts as accepted since `at`."""
        ...

    def repair(self, unit: Unit, service_id: ServiceId, key: str) -> None:
        """Apply the desired state again, durably; once per key. Never suspends or ceases."""
        ...


class Adopt(Protocol):
    """Taking over running services."""

    def adopt_intents(self, unit: Unit, service_id: ServiceId) -> None:
        """Tell configuration (whose unit this is) what the elements hold for an adopted service already;
        nothing is sent."""
        ...


class Realise(Protocol):
    """Touches the world: called from workflow steps only."""

    def realise(self, service_id: ServiceId, *, deadline_s: float) -> Realisation:
        """Bring every element to the service's desired state, verify on the elements, update a live session
        (CoA, or Disconnect where the NAS needs it) and read it back. Elements in parallel."""
        ...

    def frozen(self, service_ids: Sequence[ServiceId]) -> bool:
        """Whether an element that one of these services concerns is frozen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEvent(Event):
    """Common to all service events. `at` is the network's instant, not when we heard of it."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    product_id: ProductId
    account_id: AccountId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfigured(ServiceEvent):
    """Desired state verified on every element (first time: the service is ready)."""

    generation: int
    first: bool
    awaiting_equipment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFirstOnline(ServiceEvent):
    """The subscriber's first session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccepted(ServiceEvent):
    """Billing may start, if the policy waits for acceptance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSuspended(ServiceEvent):
    """Walled garden verified on the network."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceResumed(ServiceEvent):
    """Full service verified on the network again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCeased(ServiceEvent):
    """Nothing is left of it on any element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChanged(ServiceEvent):
    """A change of plan or options is verified on the network."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWasHeld(Event):
    """The brake holds an automatic change: a named person must release or refuse it."""

    aggregate: ClassVar[str] = "hold_id"
    hold_id: HoldId
    cause: str
    what: str
    services: int
    waiting: int
    """Requests that wait now, this one included."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldDecided(Event):
    """A held change was released or refused by a named person, or is not wanted any more."""

    aggregate: ClassVar[str] = "hold_id"
    hold_id: HoldId
    state: HoldState
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """What the NAS says of a session it has."""

    down_kbps: int
    up_kbps: int
    walled: bool
    """The session's own filter, as RADIUS set it."""


class AaaGateway(Protocol):
    """Port: live sessions on the NAS side (RFC 5176)."""

    def change_authorization(
        self, nas: str, username: str, wanted: LiveSession, *, deadline_s: float
    ) -> bool:
        """CoA; True when the NAS acknowledged, False when it has no such session or cannot. Raises
        Unavailable when it does not answer."""
        ...

    def disconnect(self, nas: str, username: str, *, deadline_s: float) -> bool:
        """True when the NAS ended her session, False when it has none. Raises Unavailable."""
        ...

    def reports_sessions(self, nas: str) -> bool:
        """Whether the NAS can be asked what session it has (`live_session`). Where not, its acknowledgement
        is the proof."""
        ...

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        """The live session as the NAS itself reports it; None when offline."""
        ...

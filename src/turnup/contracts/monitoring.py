"""What others may know of monitoring: what the network observes of itself and of the subscribers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from turnup.contracts.inventory import ElementView
from turnup.contracts.unit import Event
from turnup.kernel.ids import AlarmId, ElementId, ProblemId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    service_id: ServiceId | None
    username: str
    nas: str
    session_id: str
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    cause: str | None
    upload_octets: int
    download_octets: int
    framed_ipv4: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView:
    """X.733 in short: what, where, how bad, since when; `occurrences` counts the deduplicated ones."""

    id: AlarmId
    element_id: ElementId
    port: str | None
    kind: str
    """element_unreachable | link_down | …"""
    severity: str
    raised_at: datetime
    cleared_at: datetime | None
    occurrences: int
    root_cause_of: int
    """Other alarms explained by this one."""
    explained_by: AlarmId | None = None
    """The alarm that is the cause of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemView:
    """A service problem: one cause, the services it hits."""

    id: ProblemId
    alarm_id: AlarmId
    cause: str
    service_ids: tuple[ServiceId, ...]
    opened_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementHealth:
    element_id: ElementId
    code: str
    reachable: bool | None
    checked_at: datetime | None
    since: datetime | None
    round_trip_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One poll of one element. `reachable` None: not asked. `ports`: name -> oper up?"""

    element_id: ElementId
    at: datetime
    reachable: bool
    round_trip_ms: float | None
    ports: Mapping[str, bool]
    octets: Mapping[str, tuple[int, int]]
    """Port -> (in, out) counters."""
    uptime_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountingRecord:
    """One RADIUS accounting packet as the AAA server stored it. Octets are cumulative per session;
    `input_octets` is the subscriber's upload (RFC 2866, as seen by the NAS)."""

    source_id: int
    nas: str
    session_id: str
    username: str
    status: str
    """start | interim | stop | accounting_on | accounting_off"""
    event_at: datetime
    session_time_s: int
    input_octets: int
    output_octets: int
    framed_ipv4: str | None
    cause: str | None
    circuit_id: str | None


class ElementProbe(Protocol):
    """Port: asks elements by SNMP and ICMP, many at once."""

    def poll(self, elements: Sequence[ElementView], *, deadline_s: float) -> Sequence[Observation]: ...


class AccountingSource(Protocol):
    """Port: one AAA server's accounting, read forward."""

    def read_after(self, cursor: int, limit: int) -> Sequence[AccountingRecord]: ...


class AccountingSources(Protocol):
    """Port: the AAA servers that there are. A session may be told of to one and then to the other."""

    def sources(self) -> Mapping[str, AccountingSource]:
        """By a name that stays: each is read forward on its own."""
        ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """An AAA server turned a user away."""

    at: datetime
    reason: str


class Rejections(Protocol):
    """Port: what the AAA servers say of users they turned away."""

    def last_rejection(self, username: str) -> Rejection | None:
        """The newest one that any server remembers. Raises Unavailable when none of them answers."""
        ...


class Reads(Protocol):
    def session(self, service_id: ServiceId) -> SessionView | None:
        """The live session, or the last one."""
        ...

    def last_sessions(self, service_ids: Sequence[ServiceId]) -> Mapping[ServiceId, SessionView]:
        """Each service's live session, or its last one."""
        ...

    def sessions_at(self, ipv4: str) -> Sequence[SessionView]:
        """The live sessions with this address."""
        ...

    def sessions(self, *, live_only: bool = True) -> Sequence[SessionView]: ...
    def alarms(self, *, active_only: bool = True) -> Sequence[AlarmView]: ...
    def problems(self, *, open_only: bool = True) -> Sequence[ProblemView]: ...
    def problem(self, problem_id: ProblemId) -> ProblemView | None: ...
    def open_problems_of(self, service_ids: Sequence[ServiceId]) -> Mapping[ServiceId, ProblemView]:
        """What each of these services suffers from now; the problems name these services only."""
        ...

    def problems_of(self, service_id: ServiceId) -> Sequence[ProblemView]: ...
    def health(self) -> Sequence[ElementHealth]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """A subscriber's RADIUS session began."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    nas: str
    session_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Event):
    """A RADIUS session ended, or went silent for too long."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    nas: str
    session_id: str
    at: datetime
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageMeasured(Event):
    """Traffic of one service in one interval: a delta, counted once. `key` names it for ever."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    key: str
    started_at: datetime
    ended_at: datetime
    upload_octets: int
    download_octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOutageStarted(Event):
    """The network failed this service: root cause known, not a lone subscriber's silence."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    problem_id: ProblemId
    cause: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOutageEnded(Event):
    """The service works again; `started_at` is when its outage began."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    problem_id: ProblemId
    started_at: datetime
    at: datetime

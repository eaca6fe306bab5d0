"""Nouns of monitoring: sessions, health, alarms, problems, outages, and the topology as root cause sees
it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from turnup.kernel.ids import AlarmId, ElementId, ProblemId, ServiceId

SessionKey = tuple[str, str]
"""(nas, session id): what RFC 2866 makes unique."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One subscriber session as accounting has told it so far. Octets are the highest counters seen.

    `told_*` is what other components know: counters up to which usage was emitted, whether the session's
    start was. What came before the service was known is told once it is.
    """

    nas: str
    session_id: str
    username: str
    service_id: ServiceId | None
    started_at: datetime
    last_seen_at: datetime
    heard_at: datetime
    """By Turnup's own clock: when its latest news arrived. NAS clocks may be wrong."""
    ended_at: datetime | None = None
    cause: str | None = None
    dead_by: datetime | None = None
    """Set where the end was not reported but concluded (NAS restarted, a newer session): it was over by
    then."""
    upload: int = 0
    download: int = 0
    framed_ipv4: str | None = None
    circuit_id: str | None = None
    told_start: bool = False
    told_end: bool = False
    told_upload: int = 0
    told_download: int = 0
    told_until: datetime | None = None

    @property
    def key(self) -> SessionKey:
        return self.nas, self.session_id

    @property
    def live(self) -> bool:
        return self.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Can we reach an element? None: not known yet. `failed_since`: the first of the failed polls in a
    row."""

    element_id: ElementId
    reachable: bool | None
    since: datetime
    checked_at: datetime
    failures: int = 0
    failed_since: datetime | None = None
    round_trip_ms: float | None = None
    uptime_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortState:
    """A port as its element last told. `was_up`: it has carried light before, so being down is news."""

    element_id: ElementId
    port: str
    up: bool
    since: datetime
    was_up: bool


class AlarmKind(StrEnum):
    UNREACHABLE = "element_unreachable"
    LINK_DOWN = "link_down"


SEVERITY = {AlarmKind.UNREACHABLE: "critical", AlarmKind.LINK_DOWN: "major"}

ConditionKey = tuple[ElementId, str | None, AlarmKind]
"""What an alarm is about: repeated reports of one condition are one alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """ITU-T X.733 in short. `cause_id`: the alarm that explains this one."""

    id: AlarmId
    element_id: ElementId
    port: str | None
    kind: AlarmKind
    raised_at: datetime
    cleared_at: datetime | None = None
    occurrences: int = 1
    cause_id: AlarmId | None = None

    @property
    def condition(self) -> ConditionKey:
        return self.element_id, self.port, self.kind

    @property
    def severity(self) -> str:
        return SEVERITY[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One cause that hits services (TMF656)."""

    id: ProblemId
    alarm_id: AlarmId
    cause: str
    opened_at: datetime
    cleared_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One service failed by one problem, for one half-open interval."""

    service_id: ServiceId
    problem_id: ProblemId
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An element in the topology. `in_band`: managed over its own uplink, so a cut uplink silences it."""

    id: ElementId
    code: str
    role: str
    in_band: bool = False


End = tuple[ElementId, str]
"""(element, port): one end of a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Elements and the links between them. Subscribers hang on access elements and need a path to a BNG."""

    nodes: Mapping[ElementId, Node]
    links: tuple[tuple[End, End], ...] = ()
    lines: Collection[End] = ()
    """Ports that end one subscriber's line: down when she switches her device off."""

    ends: Mapping[End, End] = field(init=False)

    def __post_init__(self) -> None:
        ends = dict(self.links) | {b: a for a, b in self.links}
        object.__setattr__(self, "ends", ends)

    def far_end(self, end: End) -> End | None:
        return self.ends.get(end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A part of the network that has no way out: an access element, or one port of it. `firm`: the data path
    is seen to be down, not only our way of asking."""

    element_id: ElementId
    port: str | None
    alarm_id: AlarmId
    since: datetime
    firm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient monitoring is."""

    failures_needed: int = 2
    """Failed polls in a row that make an element unreachable."""
    accounting_grace_s: float = 30.0
    """Three interim intervals of the NASes: silence for so long after the failure confirms what SNMP alone
    cannot know."""
    sample_every_s: float = 60.0
    """How often octets are kept as a time series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """All that is open now, or as a poll leaves it."""

    health: Mapping[ElementId, Health] = field(default_factory=dict)
    ports: Mapping[End, PortState] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    problems: tuple[Problem, ...] = ()
    outages: tuple[Outage, ...] = ()

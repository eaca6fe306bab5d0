"""What others may know of configuration: the one apply path per network element.

Provisioning contributes *fragments* keyed by service; configuration holds the element's one intended
configuration, its lock, its credentials, its backups. A *driver* (gateway) speaks the element's language.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol

from turnup.contracts.inventory import ElementView
from turnup.contracts.unit import Event, Unit
from turnup.kernel.errors import TurnupError
from turnup.kernel.ids import ElementId, FreezeId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What one element should hold for one service, vendor-neutral.

    `kind` is access_service | subscriber | aaa_subscriber | dhcp_subscriber | route; `attributes` are text,
    already normalised (the driver renders and parses them); `generation` rises with every change of the
    service's desired state and is the fencing token: a driver refuses to replace a newer generation by an
    older one.
    """

    service_id: ServiceId
    kind: str
    attributes: Mapping[str, str]
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference to apply: `want` None removes the service's fragment."""

    service_id: ServiceId
    kind: str
    want: Fragment | None
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Desired against actual for one service on one element: attribute -> (desired, actual)."""

    service_id: ServiceId
    kind: str
    missing: bool = False
    unexpected: bool = False
    attributes: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What differs, for people: `down_kbps: 1000 should be 100000`."""
        what = "missing" if self.missing else "unexpected" if self.unexpected else ""
        return what or ", ".join(
            f"{name}: {actual} should be {wanted}" for name, (wanted, actual) in self.attributes.items()
        )

    @property
    def empty(self) -> bool:
        return not (self.missing or self.unexpected or self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOutcome:
    """What happened on one element. `verified` means: read back from the element and found equal."""

    element_id: ElementId
    element: str
    changed: bool
    verified: bool
    device_ms: float
    """Time spent waiting for the element."""
    total_ms: float
    commands: tuple[str, ...] = ()
    """What was sent, secrets masked."""
    error: str | None = None
    transient: bool = False
    """The error may go away by itself (unreachable, locked): worth a retry."""
    frozen: bool = False
    """Nothing was sent: the element is frozen. Try again when that is lifted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Handed to a driver for the length of one call; never logged or stored in clear."""

    username: str
    password: str = field(default="", repr=False)
    enable: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    """SSH login by key, in OpenSSH's own format, without a passphrase; then `password` is not used."""
    data_key: str | None = field(default=None, repr=False)
    """Encrypts what an element must store of a subscriber's secret (AAA servers that do CHAP)."""
    host_key: str | None = None
    """The SSH host key as in a known_hosts line, without the name: ``ssh-ed25519 AAAA…``."""
    coa_secret: str | None = field(default=None, repr=False)
    """RADIUS secret for CoA and Disconnect (RFC 5176)."""
    snmp_community: str | None = field(default=None, repr=False)


class ElementRefused(TurnupError):
    """The element understood and said no; repeating will not help."""

    code: ClassVar[str] = "element_refused"
    status: ClassVar[int] = 502


class StaleGeneration(ElementRefused):
    """The element holds a newer generation than we tried to apply: somebody else has gone on."""

    code: ClassVar[str] = "stale_generation"
    status: ClassVar[int] = 409


class Frozen(TurnupError):
    """A named person has frozen the element (its site, everything): nothing is written until it is lifted."""

    code: ClassVar[str] = "frozen"
    status: ClassVar[int] = 409


class FreezeScope(StrEnum):
    ELEMENT = "element"
    SITE = "site"
    ALL = "all"
    """Every element; dunning pauses, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeView:
    id: FreezeId
    scope: FreezeScope
    code: str | None
    """Of the element or site; None: everything."""
    reason: str
    frozen_by: str
    frozen_at: datetime
    lifted_by: str | None = None
    lifted_at: datetime | None = None
    lift_reason: str | None = None


class ElementDriver(Protocol):
    """Port: speaks to one kind of element. Synchronous, with a mandatory deadline in seconds.

    Raises kernel.errors.Unavailable when the element does not answer in time, and ElementRefused
    (permanent) when it says no. All calls are safe to repeat.
    """

    needs_credentials: ClassVar[bool]
    """False where the driver knows how to get in by itself; it is then given empty ones."""

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        """The fragments the element holds now, of these services or of all; one round trip."""
        ...

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        """All changes in one transaction of the element where it has transactions; returns the commands sent
        with secrets masked. Raises StaleGeneration if the element holds a newer generation."""
        ...

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        """The running configuration as text, for backup; secrets masked."""
        ...

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        """Replace the running configuration by this text (rollback)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupView:
    element_id: ElementId
    revision: int
    taken_at: datetime
    sha256: str
    cause: str


LIFT_EVERYTHING = "freeze.lift_all"
"""The name of lifting a freeze of everything where four eyes guard it. Arguments: `freeze`, `reason`."""


class Reads(Protocol):
    def intended(self, element_id: ElementId) -> Mapping[ServiceId, Fragment]:
        """Every fragment the element should hold."""
        ...

    def concerned(self, service_id: ServiceId) -> Sequence[ElementId]:
        """Every element that should hold something for this service, or has ever been meant to: what was
        withdrawn may still be there, as long as nobody has read it back."""
        ...

    def actual(
        self, element_id: ElementId, services: Sequence[ServiceId] | None = None, *, deadline_s: float = 10.0
    ) -> Mapping[ServiceId, Fragment]:
        """Asks the element itself. Raises Unavailable: an unreachable element is unknown, not drifted."""
        ...

    def differences(
        self, element_id: ElementId, services: Sequence[ServiceId] | None = None
    ) -> Sequence[Difference]:
        """Intended against actual, read from the element itself (services in flight included)."""
        ...

    def backups(self, element_id: ElementId) -> Sequence[BackupView]: ...
    def backup_text(self, element_id: ElementId, revision: int) -> str | None: ...
    def backup_diff(self, element_id: ElementId, old: int, new: int) -> str: ...


class Freezes(Protocol):
    """What may not be written to now."""

    def freezes(self, *, active_only: bool = True) -> Sequence[FreezeView]: ...
    def frozen_by(self, element_id: ElementId) -> FreezeView | None:
        """The freeze in force that covers this element, the oldest one."""
        ...

    def any_frozen(self, element_ids: Sequence[ElementId]) -> bool: ...
    def everything_frozen(self) -> FreezeView | None:
        """The freeze of everything that is in force."""
        ...


class Commands(Protocol):
    def freeze(self, unit: Unit, scope: FreezeScope, code: str | None, reason: str) -> FreezeId:
        """A named person stops writing to an element, a site's elements, or all. What is being written goes
        on to its end: `Apply.settle` waits for it. Frozen as wanted already: the same freeze."""
        ...

    def lift(self, unit: Unit, freeze_id: FreezeId, reason: str) -> None:
        """A named person lifts a freeze; what waited for it goes on by itself. Lifted already: nothing."""
        ...

    def intend(self, unit: Unit, element_id: ElementId, fragment: Fragment) -> bool:
        """The element should hold this fragment. An older generation than the intended one changes nothing;
        returns whether anything changed."""
        ...

    def withdraw(self, unit: Unit, element_id: ElementId, service_id: ServiceId, generation: int) -> bool:
        """The element should hold nothing for this service any more."""
        ...

    def set_credentials(self, unit: Unit, element_id: ElementId, credentials: Credentials) -> None:
        """Stored encrypted."""
        ...


class Apply(Protocol):
    """The one apply path. Touches the world: called from workflow steps, never inside a transaction."""

    def apply(
        self, element_id: ElementId, services: Sequence[ServiceId], *, deadline_s: float
    ) -> Mapping[ServiceId, ApplyOutcome]:
        """Bring the element to its intended configuration for these services: take the element's lock, read
        actual, apply the difference, read back and compare. Calls for one element that wait together are
        applied together. Doing it again changes nothing and says `changed=False`."""
        ...

    def writing(self, element_id: ElementId, *, deadline_s: float) -> AbstractContextManager[None]:
        """The element's lock for something else that is sent to it (CoA, Disconnect). Raises Frozen."""
        ...

    def settle(self, freeze_id: FreezeId, *, deadline_s: float) -> Sequence[str]:
        """Wait until whatever was being written when the freeze came has ended: from then on no write starts.
        Returns the codes of elements still being written at the deadline."""
        ...

    def backup(self, element_id: ElementId, cause: str) -> BackupView:
        """Fetch the running configuration; a new revision only if it differs."""
        ...

    def rollback(self, element_id: ElementId, revision: int) -> ApplyOutcome:
        """Put a backed-up configuration back, and verify."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFrozen(Event):
    """A named person stopped all writing to an element, a site or everything."""

    aggregate: ClassVar[str] = "freeze_id"
    freeze_id: FreezeId
    scope: FreezeScope
    code: str | None
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeLifted(Event):
    """A named person lifted a freeze; what waited goes on."""

    aggregate: ClassVar[str] = "freeze_id"
    freeze_id: FreezeId
    reason: str
    by: str
    at: datetime

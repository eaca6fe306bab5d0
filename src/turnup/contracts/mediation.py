"""What others may know of mediation: imports, the crosswalk of external ids, quarantine, connectors.

A connector exchanges CSV files with another system on a schedule. Whatever comes in is counted row by row:
read == applied + unchanged + quarantined + discarded (+ waiting, while a file is being worked on), always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID

from turnup.contracts.unit import Unit
from turnup.kernel.errors import TurnupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record that could not be applied: `row` as in the file, `field` at fault, what to do."""

    source: str
    row: int
    field: str | None
    reason: str
    remedy: str | None
    raw: str
    """The row as it came; shown, never stored."""
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """read == applied + unchanged + quarantined, always."""

    source: str
    dry_run: bool
    read: int
    applied: int
    unchanged: int
    quarantined: tuple[Quarantined, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverLine:
    """One running service that came from a former system: what was sold, what its elements have (None: not
    known now), what is billed. Amounts in minor units, net; `differs`: what is not alike."""

    external_id: str
    service: str
    account_id: str
    offering: str
    management: str
    sold_kbps: str
    """down/up"""
    device_kbps: str | None
    device: str | None
    """Desired against actual, by element; empty: alike."""
    first_period_minor: int | None
    """What the next bill charges for its first period, discounts taken off."""
    former_monthly_minor: int | None
    next_bill_date: str | None
    next_bill_net_minor: int | None
    next_bill_total_minor: int | None
    currency: str | None
    differs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorView:
    """A connector as its newest document says, and how it stands. `document` holds no secret."""

    name: str
    version: int
    direction: str
    """in | out"""
    kind: str
    mode: str
    """shadow | live"""
    document: Mapping[str, Any]
    imported_at: datetime
    imported_by: str
    credentials_set: bool
    next_at: datetime | None
    last_run_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """How the rows of one incoming file stand."""

    read: int
    applied: int = 0
    unchanged: int = 0
    quarantined: int = 0
    discarded: int = 0
    waiting: int = 0

    @classmethod
    def of(cls, read: int, by_state: Mapping[str, int]) -> "FileCounts":
        """From how many rows are in each state; what is captured waits."""
        return cls(
            read=read,
            applied=by_state.get("applied", 0),
            unchanged=by_state.get("unchanged", 0),
            quarantined=by_state.get("quarantined", 0),
            discarded=by_state.get("discarded", 0),
            waiting=by_state.get("captured", 0),
        )

    @property
    def add_up(self) -> bool:
        """Whether every row read is somewhere, once."""
        return self.read == (self.applied + self.unchanged + self.quarantined + self.discarded + self.waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenFile:
    """One incoming file. `state`: captured (rows wait) | applied | refused (as a whole, see `reason`)."""

    id: UUID
    connector: str
    version: int
    """Of the connector's document it was read by."""
    name: str
    sha256: str
    mode: str
    state: str
    reason: str | None
    counts: FileCounts
    taken_at: datetime
    acknowledged_at: datetime | None
    filed_at: datetime | None
    """When it was moved to done or failed on the other side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """One row that waits for a person. `raw`: the columns as they came; personal data perhaps."""

    id: int
    connector: str
    file: str
    row: int
    key: str | None
    field: str | None
    reason: str
    remedy: str | None
    raw: Mapping[str, str]
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """One outgoing file: numbered without gaps, its bytes kept. `sent_at` None: on its way, or shadow."""

    connector: str
    number: int
    name: str
    rows: int
    control_sum: str
    sha256: str
    mode: str
    made_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What one run of a connector did. `waiting`: files that are still being uploaded, so it seems."""

    connector: str
    mode: str
    files: tuple[TakenFile, ...] = ()
    made: tuple[MadeFile, ...] = ()
    waiting: tuple[str, ...] = ()
    refused_names: tuple[str, ...] = ()
    """What the other side calls files and nobody may: with path separators, control characters, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What a file would do; nothing was changed. `differences`: rows that would change, and what."""

    __test__: ClassVar[bool] = False

    connector: str
    file: str
    read: int
    applied: int
    unchanged: int
    quarantined: tuple[Quarantined, ...]
    differences: tuple[tuple[int, str], ...] = ()


class Reads(Protocol):
    def internal_id(self, system: str, kind: str, external_id: str) -> UUID | None: ...
    def external_ids(self, kind: str, internal_id: UUID) -> Sequence[tuple[str, str]]: ...
    def quarantine(self) -> Sequence[Quarantined]: ...


class Commands(Protocol):
    def link(self, unit: Unit, system: str, kind: str, external_id: str, internal_id: UUID) -> None:
        """The external id names this thing from now on; a second link to another thing raises Conflict."""
        ...


class FilesRefused(TurnupError):
    """The file server of a connector understood and said no: credentials, host key, folder or right."""

    code: ClassVar[str] = "files_refused"
    status: ClassVar[int] = 502


@dataclass(frozen=True, slots=True, kw_only=True)
class FileServer:
    """Where a connector's files are, as whom, and which host key must answer."""

    connector: str
    host: str
    port: int
    host_key: str
    """As in a known_hosts line: ``ssh-ed25519 AAAA…``."""
    username: str
    password: str = field(default="", repr=False)
    private_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A regular file as the other side lists it; `changed_at` in seconds of its clock."""

    name: str
    size: int
    changed_at: int


class FileGateway(Protocol):
    """Port: files on another system. All raise Unavailable when it does not answer in time, FilesRefused when
    it says no. Folders and names come checked (`rules.names`)."""

    def listed(self, server: FileServer, folder: str, *, deadline_s: float) -> Sequence[RemoteFile]:
        """The regular files of a folder; links, devices and folders are left out."""
        ...

    def fetch(
        self, server: FileServer, folder: str, name: str, *, bytes_max: int, deadline_s: float
    ) -> bytes | None:
        """Its bytes; None when it is gone. Raises FilesRefused for more than `bytes_max`."""
        ...

    def put(self, server: FileServer, folder: str, name: str, content: bytes, *, deadline_s: float) -> None:
        """Under a temporary name first, then renamed: nobody sees a part. Repeated, the same file again."""
        ...

    def move(
        self, server: FileServer, folder: str, file: RemoteFile, to: str, new_name: str, *, deadline_s: float
    ) -> bool:
        """Move to the folder `to`, made where missing. False when it is gone, or was replaced by
        another meanwhile (other size or time), which stays."""
        ...

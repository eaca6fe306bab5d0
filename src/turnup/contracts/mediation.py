"""What others may know of mediation: imports, the crosswalk of external ids, quarantine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from turnup.contracts.unit import Unit


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


class Reads(Protocol):
    def internal_id(self, system: str, kind: str, external_id: str) -> UUID | None: ...
    def external_ids(self, kind: str, internal_id: UUID) -> Sequence[tuple[str, str]]: ...
    def quarantine(self) -> Sequence[Quarantined]: ...


class Commands(Protocol):
    def link(self, unit: Unit, system: str, kind: str, external_id: str, internal_id: UUID) -> None:
        """The external id names this thing from now on; a second link to another thing raises Conflict."""
        ...

"""What others may know of reconciliation: sold, desired, actual and billed, compared by service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from turnup.contracts.unit import Unit
from turnup.kernel.ids import FindingId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    id: FindingId
    kind: str
    """sold_not_configured | configured_not_sold | live_not_billed | billed_not_live | drift | …"""
    service_id: ServiceId
    service_number: str | None
    detail: str
    monthly_minor: int
    """What it costs per month, in `currency`: revenue lost (+) or over-billed (-)."""
    currency: str
    owner: str
    """billing | network: whose queue it is in when it is not repaired by itself."""
    repair: str
    """What would mend it; empty if only a person can."""
    safe: bool
    found_at: datetime
    repaired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    checked: int
    found: int
    repaired: int
    unknown: int
    """Not compared because an element did not answer."""
    in_flight: int
    findings: tuple[FindingView, ...]
    by_kind: Mapping[str, int]


class Reads(Protocol):
    def finding(self, finding_id: FindingId) -> FindingView | None: ...
    def findings(self, *, open_only: bool = True) -> Sequence[FindingView]: ...


class Commands(Protocol):
    def dismiss(self, unit: Unit, finding_id: FindingId, reason: str) -> None: ...


class Repairs(Protocol):
    """Touches the world: called by an edge, never inside a transaction."""

    def repair(self, finding_id: FindingId, actor: str) -> bool:
        """A person has what a finding names mended now, as the run mends what is safe; returns whether it is
        gone. Raises NotFound, InvalidInput where only a person can mend it, Conflict when it is not there any
        more."""
        ...

"""Nouns of configuration: an intent, a lease on an element, a backup, a freeze."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from turnup.contracts.configuration import Fragment, FreezeScope, FreezeView
from turnup.kernel.ids import ElementId, FreezeId


@dataclass(frozen=True, slots=True)
class Intent:
    """What an element should hold for one service: a fragment, or nothing (`fragment` None) since this
    generation."""

    kind: str
    generation: int
    fragment: Fragment | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to configure an element, for a while. `token` rises with every holder."""

    element_id: ElementId
    holder: str
    token: int


@dataclass(frozen=True, slots=True)
class Backup:
    element_id: ElementId
    revision: int
    taken_at: datetime
    sha256: str
    cause: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Nothing is written to what it covers until it is lifted. `target_id`: of the element or the site."""

    id: FreezeId
    scope: FreezeScope
    target_id: UUID | None
    code: str | None
    reason: str
    frozen_by: str
    frozen_at: datetime
    lifted_by: str | None = None
    lifted_at: datetime | None = None
    lift_reason: str | None = None

    def view(self) -> FreezeView:
        return FreezeView(
            id=self.id,
            scope=self.scope,
            code=self.code,
            reason=self.reason,
            frozen_by=self.frozen_by,
            frozen_at=self.frozen_at,
            lifted_by=self.lifted_by,
            lifted_at=self.lifted_at,
            lift_reason=self.lift_reason,
        )

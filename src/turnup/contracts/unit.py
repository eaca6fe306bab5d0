"""The unit of work as a use case sees it, and the base of all events.

A unit is one transaction of one component, its events included. The edge opens and commits it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, in the past tense. Subclasses are frozen dataclasses of plain typed fields.

    `aggregate` names the field whose id orders the events of one thing; `version` is the schema version
    of the payload: add optional fields freely, raise it for anything else.
    """

    aggregate: ClassVar[str]
    version: ClassVar[int] = 1


class Unit(Protocol):
    """One open transaction of one component."""

    @property
    def now(self) -> datetime:
        """The instant of this unit, UTC; the same for all that happens in it."""
        ...

    @property
    def actor(self) -> str:
        """Who acts: `staff:…`, `token:…`, `workflow:…`, `event:…`, `cli:…`."""
        ...

    @property
    def connection(self) -> Any:
        """The database connection of this transaction. Only stores touch it."""
        ...

    def emit(self, event: Event) -> None:
        """Append an event; it is stored when the unit commits, or never."""
        ...

    def start(self, workflow: str, key: str, *args: str) -> None:
        """Enqueue a durable workflow under a key; a key that was used before starts nothing."""
        ...

    def audit(self, action: str, subject: UUID | str, before: object = None, after: object = None) -> None:
        """Record who changed what. Never pass secrets or personal data."""
        ...

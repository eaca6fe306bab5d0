"""Nouns of configuration: an intent, a lease on an element, a backup."""

from dataclasses import dataclass
from datetime import datetime

from turnup.contracts.configuration import Fragment
from turnup.kernel.ids import ElementId


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

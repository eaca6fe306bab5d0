"""The rights of a person over what is held about her, as every component that holds something fills them.

A person is known by ids; who she is stands in crm, and is gone from there once she was erased. The ids stay,
so that all of this may be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from turnup.contracts.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One party of crm and every id that leads to her. `externals`: ``SYSTEM:ID`` of former systems and
    keys under which programs created her; `messages`: keys of what she was told."""

    party: UUID
    customers: tuple[UUID, ...] = ()
    accounts: tuple[UUID, ...] = ()
    addresses: tuple[UUID, ...] = ()
    services: tuple[UUID, ...] = ()
    externals: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays after an erasure: where, why, and until when (None: no date can be said)."""

    where: str
    why: str
    until: date | None = None


Held = Mapping[str, Sequence[Mapping[str, Any]]]
"""Table -> its rows about the person, JSON-able; no secrets."""


class PersonalData(Protocol):
    """Port: what one component holds about a person."""

    def held(self, person: Person) -> Held:
        """Everything, for GDPR art. 15 and 20."""
        ...

    def in_the_way(self, person: Person) -> Sequence[str]:
        """Why she cannot be erased yet, each with the remedy; empty where nothing is."""
        ...

    def erase(self, unit: Unit, person: Person, documents_until: date | None) -> Mapping[str, int]:
        """Delete or pseudonymise (GDPR art. 17): rows changed, by table. Repeated, it changes nothing more.
        `documents_until`: how long the name on her documents has to stay; None: she has none."""
        ...

    def last_document(self, person: Person) -> date | None:
        """Of the last document with her name on it that law wants kept; None where there is none."""
        ...

    def kept(self, person: Person) -> Sequence[Kept]:
        """What law or necessity keeps."""
        ...

"""What is newer than restored books: on the network, in the replaced books, in the mail folder. Reads only.

Every service that an element holds otherwise than the books is a difference that a person must decide. An
element that does not answer is unknown: whatever the books want there has to be decided, too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from turnup.app.house import House
from turnup.contracts.configuration import Difference, Fragment
from turnup.contracts.inventory import ElementView
from turnup.kernel.errors import TurnupError
from turnup.kernel.ids import ElementId, ServiceId
from turnup.runtime.restored import Restored

_ROLES = frozenset({"access", "bng", "dhcp", "aaa"})
_ELEMENTS_AT_ONCE = 8


class Kind(StrEnum):
    NETWORK_ONLY = "network_only"
    """On the element; unknown to the books, or not wanted there by them: sold after the restore point."""
    BOOKS_ONLY = "books_only"
    """In the books, not on the element: ceased after the restore point."""
    DIFFERS = "differs"
    """Changed after the restore point."""
    UNKNOWN = "unknown"
    """The element did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One service on one element. Generations are None where that side has nothing, or does not say."""

    service_id: ServiceId
    number: str | None
    element: str
    element_id: ElementId
    kind: Kind
    fragment_kind: str
    detail: str
    books_generation: int | None
    network_generation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChanged:
    """The running configuration is not the one the books keep as the newest backup."""

    element: str
    books_revision: int | None
    running_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`newer`: services whose element holds a higher generation, whatever it says otherwise."""

    services: int
    found: tuple[Found, ...]
    newer: int
    unreachable: tuple[str, ...]
    configurations: tuple[ConfigChanged, ...]
    mails_since: int | None
    """Mails in the folder `mail` from after the restore point; None where mail goes by SMTP."""
    lost: Mapping[str, Any]

    @property
    def undecided(self) -> Sequence[ServiceId]:
        """Services that a person must decide, each once."""
        return sorted({found.service_id for found in self.found})


@dataclass(frozen=True, slots=True)
class _Answer:
    element: ElementView
    found: tuple[Found, ...]
    newer: frozenset[ServiceId]
    reached: bool
    configuration: ConfigChanged | None


def compare(house: House, restored: Restored) -> Comparison:
    """Ask every element now. Touches the world, writes nothing."""
    services = house.provisioning.services()
    numbers = {service.id: service.number for service in services}
    elements = [element for element in house.inventory.elements() if element.role in _ROLES]
    with ThreadPoolExecutor(_ELEMENTS_AT_ONCE, thread_name_prefix="compare") as pool:
        answers = list(pool.map(lambda element: _ask(house, element, numbers), elements))
    return Comparison(
        services=len(services),
        found=tuple(found for answer in answers for found in answer.found),
        newer=len({service for answer in answers for service in answer.newer}),
        unreachable=tuple(answer.element.code for answer in answers if not answer.reached),
        configurations=tuple(a.configuration for a in answers if a.configuration is not None),
        mails_since=_mails_since(house, restored.reached_at or restored.target_at),
        lost=restored.lost,
    )


def _ask(house: House, element: ElementView, numbers: Mapping[ServiceId, str]) -> _Answer:
    intended = house.configuration.intended(element.id)
    try:
        actual = house.configuration.actual(element.id)
        differences = house.configuration.differences(element.id)
        changed = _changed_config(house, element)
    except TurnupError as error:
        unknown = (
            _found(element, s, numbers, Kind.UNKNOWN, f.kind, error.message, f, None)
            for s, f in intended.items()
        )
        return _Answer(element, tuple(unknown), frozenset(), reached=False, configuration=None)
    found = tuple(
        _found(
            element,
            each.service_id,
            numbers,
            _kind(each),
            each.kind,
            _words(each),
            intended.get(each.service_id),
            actual.get(each.service_id),
        )
        for each in differences
    )
    newer = frozenset(
        service
        for service, fragment in actual.items()
        if service not in intended or fragment.generation > intended[service].generation
    )
    return _Answer(element, found, newer, reached=True, configuration=changed)


def _found(
    element: ElementView,
    service_id: ServiceId,
    numbers: Mapping[ServiceId, str],
    kind: Kind,
    fragment_kind: str,
    detail: str,
    intended: Fragment | None,
    actual: Fragment | None,
) -> Found:
    return Found(
        service_id=service_id,
        number=numbers.get(service_id),
        element=element.code,
        element_id=element.id,
        kind=kind,
        fragment_kind=fragment_kind,
        detail=detail,
        books_generation=intended.generation if intended else None,
        network_generation=actual.generation if actual else None,
    )


def _kind(difference: Difference) -> Kind:
    if difference.missing:
        return Kind.BOOKS_ONLY
    return Kind.NETWORK_ONLY if difference.unexpected else Kind.DIFFERS


def _words(difference: Difference) -> str:
    return ", ".join(
        f"{name}: books {books or 'nothing'}, network {network or 'nothing'}"
        for name, (books, network) in sorted(difference.attributes.items())
    )


def _changed_config(house: House, element: ElementView) -> ConfigChanged | None:
    running = hashlib.sha256(house.configuration.running_config(element.id).encode()).hexdigest()
    last = next(iter(sorted(house.configuration.backups(element.id), key=lambda b: -b.revision)), None)
    if last is not None and last.sha256 == running:
        return None
    return ConfigChanged(
        element=element.code,
        books_revision=last.revision if last else None,
        running_sha256=running,
    )


def _mails_since(house: House, since: datetime | None) -> int | None:
    if house.settings.mail_host is not None or since is None:
        return None
    folder: Path = house.settings.data_dir / "mail"
    mails = [path for name in ("new", "cur") for path in (folder / name).glob("*")]
    return sum(datetime.fromtimestamp(path.stat().st_mtime, UTC) > since for path in mails)

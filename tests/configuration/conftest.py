"""Configuration on a database of its own, with an element that holds state and can misbehave."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from builders.house import attach_workflows, lay_out, runtime_on
from turnup.contracts.configuration import (
    Change,
    Credentials,
    ElementRefused,
    Fragment,
    StaleGeneration,
)
from turnup.contracts.inventory import ElementView
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id
from turnup.oss.configuration.component import SCHEMA, build
from turnup.oss.configuration.service import Configuration
from turnup.oss.configuration.workflows import ApplyPath
from turnup.runtime.component import Component, Runtime
from turnup.runtime.database import refuse_in_transaction
from turnup.runtime.secrets import SecretBox, seal_text

OLT = ElementView(
    id=ElementId(derived_id("element", "olt1")),
    code="olt1",
    role="access",
    site_id=SiteId(derived_id("site", "pop1")),
    driver="fake",
    management={},
    status="in_service",
)


def service(n: int) -> ServiceId:
    return ServiceId(derived_id("service", n))


def fragment(n: int, generation: int = 1, **attributes: str) -> Fragment:
    return Fragment(
        service_id=service(n),
        kind="access_service",
        attributes={"port": f"pon-0/1/{n}", **attributes},
        generation=generation,
    )


class Elements:
    """The part of inventory.Reads that configuration uses."""

    def element(self, element_id: ElementId) -> ElementView | None:
        return OLT if element_id == OLT.id else None

    def element_by_code(self, code: str) -> ElementView | None:
        return OLT if code == OLT.code else None

    def sites(self) -> list[Any]:
        return [SimpleNamespace(id=SiteId(derived_id("site", code)), code=code) for code in ("pop1", "pop2")]


@dataclass
class Element:
    """An access device: transactional, holds fragments, keeps what it was told. `trouble` is met by the next
    applies in turn; `stale_reads` answers reads with what it held before."""

    needs_credentials: ClassVar[bool] = True
    holds: dict[ServiceId, Fragment] = field(default_factory=dict)
    former: dict[ServiceId, Fragment] = field(default_factory=dict)
    transactions: list[list[ServiceId]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    refused: set[ServiceId] = field(default_factory=set)
    stale_reads: int = 0
    slow_s: float = 0.0
    at_work: int = 0
    most_at_work: int = 0
    started: list[float] = field(default_factory=list)
    """When each write began, by the monotonic clock."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(
        self, element: ElementView, credentials: Credentials, services: Any, *, deadline_s: float
    ) -> Mapping[ServiceId, Fragment]:
        refuse_in_transaction("read")
        if "away" in self.trouble[:1]:
            self.trouble.pop(0)
            raise Unavailable("olt1 does not answer")
        source = self.holds
        if self.stale_reads and self.transactions:
            self.stale_reads -= 1
            source = self.former
        return {key: held for key, held in source.items() if services is None or key in services}

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        refuse_in_transaction("apply")
        with self.lock:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            self.started.append(time.monotonic())
        try:
            time.sleep(self.slow_s)
            return self._apply(changes)
        finally:
            with self.lock:
                self.at_work -= 1

    def _apply(self, changes: Sequence[Change]) -> tuple[str, ...]:
        trouble = self.trouble.pop(0) if self.trouble else None
        for change in changes:
            held = self.holds.get(change.service_id)
            if held is not None and held.generation > change.generation:
                raise StaleGeneration("newer here")
            if change.service_id in self.refused:
                raise ElementRefused(f"port of {change.service_id} is broken")
        self.former = dict(self.holds)
        self.transactions.append([change.service_id for change in changes])
        for change in changes[: len(changes) // 2] if trouble == "half" else changes:
            if change.want is None:
                self.holds.pop(change.service_id, None)
            else:
                self.holds[change.service_id] = change.want
        if trouble == "lost":
            raise Unavailable("the answer never came")
        return tuple(f"set {change.service_id}" for change in changes)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        lines = [
            f"service {key} {sorted(held.attributes.items())}" for key, held in sorted(self.holds.items())
        ]
        return "\n".join(["hostname olt1", "snmp community hush", *lines, ""])

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        if "deaf" not in self.trouble:
            self.holds = {key: held for key, held in self.holds.items() if str(key) in config}


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("configuration", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def element() -> Element:
    return Element()


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    return SecretBox(tmp_path / "secret.key")


@pytest.fixture
def built(runtime: Runtime, element: Element, box: SecretBox) -> tuple[Component, ApplyPath]:
    component, path = build(runtime, Elements(), {"fake": element}, box)  # type: ignore[arg-type, dict-item]
    attach_workflows(runtime, [component])
    with runtime.unit("configuration", "cli:anna") as unit:
        credentials = Credentials(username="turnup", password="hush")
        component.service.set_credentials(unit, OLT.id, credentials)
    return component, path


@pytest.fixture
def configuration(built: tuple[Component, ApplyPath]) -> Configuration:
    found: Configuration = built[0].service
    return found


@pytest.fixture
def path(built: tuple[Component, ApplyPath]) -> ApplyPath:
    return built[1]


@pytest.fixture
def intend(runtime: Runtime, configuration: Configuration, box: SecretBox) -> Callable[..., bool]:
    """`intend(fragment, …)`: note what the element should hold; a secret is sealed as provisioning does."""

    def intended(*fragments: Fragment) -> bool:
        changed = False
        with runtime.unit("configuration", "test") as unit:
            for wanted in fragments:
                attributes = dict(wanted.attributes)
                if "secret" in attributes:
                    attributes["secret"] = seal_text(box, attributes["secret"], str(wanted.service_id))
                sealed = Fragment(
                    service_id=wanted.service_id,
                    kind=wanted.kind,
                    attributes=attributes,
                    generation=wanted.generation,
                )
                changed |= configuration.intend(unit, OLT.id, sealed)
        return changed

    return intended

"""The one apply path: lock the element, read what it holds, apply the difference, read back and compare.

Calls that wait for the same element are applied together in one transaction of the element: the first to
come leads, the others ride along. A lease in the database keeps other processes out; it expires, so that a
dead holder blocks nobody, and the generation in every fragment keeps a late one from undoing newer work.
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from turnup.contracts.configuration import (
    ApplyOutcome,
    BackupView,
    Change,
    Credentials,
    Frozen,
    StaleGeneration,
)
from turnup.contracts.inventory import ElementView
from turnup.kernel.errors import NotFound, TurnupError, Unavailable
from turnup.kernel.ids import ElementId, FreezeId, ServiceId, new_id
from turnup.oss.configuration import rules
from turnup.oss.configuration.model import Lease
from turnup.oss.configuration.service import Configuration
from turnup.runtime import faultpoint, metrics, telemetry
from turnup.runtime.database import refuse_in_transaction

log = structlog.get_logger(__name__)

_LEASE_MARGIN_S = 10.0
_LEASE_POLL_S = 0.02
_TOGETHER_MAX = 32
SETTLE_S = 30.0
"""So long a freeze waits for what is being written; a lease ends by then."""


@dataclass(slots=True)
class _Waiting:
    """Calls for one element: who leads, who waits."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: list[tuple[Sequence[ServiceId], Future[dict[ServiceId, ApplyOutcome]]]] = field(
        default_factory=list
    )
    led: bool = False


class ApplyPath:
    """Implements contracts.configuration.Apply."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._holder = f"{configuration.process}/{new_id()}"
        self._elements: dict[ElementId, _Waiting] = {}
        self._guard = threading.Lock()

    def apply(
        self, element_id: ElementId, services: Sequence[ServiceId], *, deadline_s: float
    ) -> Mapping[ServiceId, ApplyOutcome]:
        refuse_in_transaction("configuration.apply")
        with self._guard:
            waiting = self._elements.setdefault(element_id, _Waiting())
        future: Future[dict[ServiceId, ApplyOutcome]] = Future()
        with waiting.lock:
            waiting.calls.append((services, future))
            lead = not waiting.led
            waiting.led = True
        if lead:
            self._lead(element_id, waiting, deadline_s)
        try:
            return future.result(timeout=deadline_s * 4)
        except TimeoutError:
            return self._failed(element_id, "", services, "the element's queue is too long", transient=True)

    def _lead(self, element_id: ElementId, waiting: _Waiting, deadline_s: float) -> None:
        """Apply for everybody who waits, until nobody does."""
        while True:
            with waiting.lock:
                calls, waiting.calls = waiting.calls[:_TOGETHER_MAX], waiting.calls[_TOGETHER_MAX:]
                if not calls:
                    waiting.led = False
                    return
            together = sorted({service for services, _ in calls for service in services})
            try:
                outcomes = self._locked_apply(element_id, together, deadline_s)
            except Exception as error:
                if not isinstance(error, TurnupError):
                    log.exception(
                        "apply_failed", element=str(element_id), services=[str(s) for s in together]
                    )
                transient = isinstance(error, Unavailable)
                outcomes = self._failed(element_id, "", together, str(error), transient=transient)
            for services, future in calls:
                future.set_result({service: outcomes[service] for service in services})

    def _locked_apply(
        self, element_id: ElementId, services: Sequence[ServiceId], deadline_s: float
    ) -> dict[ServiceId, ApplyOutcome]:
        element = self._configuration.element(element_id)
        lease = self._take_lease(element, deadline_s)
        changed = False
        try:
            started = time.perf_counter()
            outcomes = self._apply_together(element, services, deadline_s)
            changed = any(outcome.changed for outcome in outcomes.values())
            verified = all(outcome.verified for outcome in outcomes.values())
            metrics.element_apply_seconds.labels(
                element.driver, "verified" if verified else "failed"
            ).observe(time.perf_counter() - started)
            return outcomes
        finally:
            self._configuration.give_lease_back(lease, changed=changed)

    def _take_lease(self, element: ElementView, deadline_s: float) -> Lease:
        until = time.monotonic() + deadline_s
        while True:
            lease = self._configuration.take_lease(element.id, self._holder, deadline_s + _LEASE_MARGIN_S)
            if lease is not None:
                return lease
            if time.monotonic() > until:
                raise Unavailable(f"{element.code} is being configured by another process")
            time.sleep(_LEASE_POLL_S)

    def _apply_together(
        self, element: ElementView, services: Sequence[ServiceId], deadline_s: float
    ) -> dict[ServiceId, ApplyOutcome]:
        started = time.perf_counter()
        outcomes = self._attempt(element, services, deadline_s, started)
        failed = [
            s
            for s, outcome in outcomes.items()
            if outcome.error and not (outcome.transient or outcome.frozen)
        ]
        if len(services) > 1 and failed:  # one bad service must not fail those that came along with it
            for service in services:
                outcomes |= self._attempt(element, [service], deadline_s, time.perf_counter())
        return outcomes

    def _attempt(
        self, element: ElementView, services: Sequence[ServiceId], deadline_s: float, started: float
    ) -> dict[ServiceId, ApplyOutcome]:
        driver = self._configuration.driver(element)
        credentials = self._configuration.credentials(element.id)
        intents = self._configuration.intents(element.id, services)
        watch = _Stopwatch()
        changes: list[Change] = []
        commands: tuple[str, ...] = ()
        try:
            with watch, telemetry.span("element.read", element=element.code):
                actual = driver.read(element, credentials, services, deadline_s=deadline_s)
            for service, intent in intents.items():
                if rules.outdated(intent, actual.get(service)):
                    raise StaleGeneration(f"{element.code} holds a newer generation of {service}")
            changes = rules.changes(intents, rules.differences(intents, actual))
            if not changes:
                # "All is done already" rests on one read, and a read may be stale: ask again.
                with watch, telemetry.span("element.verify", element=element.code):
                    actual = driver.read(element, credentials, services, deadline_s=deadline_s)
                changes = rules.changes(intents, rules.differences(intents, actual))
            if changes:
                self._configuration.refuse_frozen(element)
                faultpoint.reach(f"element.{element.role}.before_apply")
                with watch, telemetry.span("element.apply", element=element.code, changes=len(changes)):
                    commands = driver.apply(element, credentials, changes, deadline_s=deadline_s)
                faultpoint.reach(f"element.{element.role}.after_apply")
                with watch, telemetry.span("element.verify", element=element.code):
                    actual = driver.read(element, credentials, services, deadline_s=deadline_s)
        except TurnupError as error:
            return self._failed(
                element.id,
                element.code,
                services,
                error.message,
                transient=isinstance(error, Unavailable),
                frozen=isinstance(error, Frozen),
                device_ms=watch.ms,
            )
        left = {difference.service_id: difference for difference in rules.differences(intents, actual)}
        changed = {change.service_id for change in changes}
        return {
            service: ApplyOutcome(
                element_id=element.id,
                element=element.code,
                changed=service in changed,
                verified=service not in left,
                device_ms=watch.ms,
                total_ms=(time.perf_counter() - started) * 1000,
                commands=commands if len(services) == 1 else (),
                error=f"read back differs: {_words(left[service])}" if service in left else None,
                transient=service in left,
            )
            for service in services
        }

    @staticmethod
    def _failed(
        element_id: ElementId,
        code: str,
        services: Sequence[ServiceId],
        reason: str,
        *,
        transient: bool,
        frozen: bool = False,
        device_ms: float = 0.0,
    ) -> dict[ServiceId, ApplyOutcome]:
        return {
            service: ApplyOutcome(
                element_id=element_id,
                element=code or str(element_id),
                changed=False,
                verified=False,
                device_ms=device_ms,
                total_ms=device_ms,
                error=reason,
                transient=transient,
                frozen=frozen,
            )
            for service in services
        }

    # --- freezes ------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, element_id: ElementId, *, deadline_s: float) -> Iterator[None]:
        refuse_in_transaction("configuration.writing")
        element = self._configuration.element(element_id)
        lease = self._take_lease(element, deadline_s)
        try:
            self._configuration.refuse_frozen(element)
            yield
        finally:
            self._configuration.give_lease_back(lease, changed=False)

    def settle(self, freeze_id: FreezeId, *, deadline_s: float) -> Sequence[str]:
        """Leases taken after the freeze see it; those before may have looked too early: wait for these."""
        refuse_in_transaction("configuration.settle")
        until = time.monotonic() + deadline_s
        before = self._configuration.leases_under(freeze_id)
        while before and time.monotonic() < until:
            time.sleep(_LEASE_POLL_S)
            now = self._configuration.leases_under(freeze_id)
            before = {element: token for element, token in before.items() if now.get(element) == token}
        return sorted(self._configuration.element(element_id).code for element_id in before)

    # --- backups ------------------------------------------------------------------------------------------

    def backup(self, element_id: ElementId, cause: str) -> BackupView:
        refuse_in_transaction("configuration.backup")
        element, credentials = self._speak_to(element_id)
        as_of = self._configuration.now()  # what changes while we read is not in it for sure
        raw = self._configuration.driver(element).running_config(element, credentials, deadline_s=30.0)
        text = rules.mask_secrets(raw)
        return self._configuration.keep_backup(
            element_id, text, hashlib.sha256(text.encode()).hexdigest(), cause, as_of
        )

    def backup_changed(self) -> int:
        """Back up every element we changed since its last backup; returns how many were reached."""
        reached = 0
        for element_id in self._configuration.changed_since_backup():
            try:
                self.backup(element_id, "after change")
                reached += 1
            except Unavailable as error:
                log.warning("backup_unreachable", element=str(element_id), reason=str(error))
        return reached

    def rollback(self, element_id: ElementId, revision: int) -> ApplyOutcome:
        """Put a backed-up configuration back. What services should hold is not changed by it: the next
        reconciliation shows, and repairs, what now differs from it."""
        refuse_in_transaction("configuration.rollback")
        text = self._configuration.backup_text(element_id, revision)
        if text is None:
            raise NotFound("no such backup", field="revision", remedy="list them: turnup config backups")
        element, credentials = self._speak_to(element_id)
        driver = self._configuration.driver(element)
        lease = self._take_lease(element, 15.0)
        watch = _Stopwatch()
        try:
            self._configuration.refuse_frozen(element)
            with watch:
                driver.restore(element, credentials, text, deadline_s=30.0)
                now = driver.running_config(element, credentials, deadline_s=30.0)
        finally:
            self._configuration.give_lease_back(lease, changed=True)
        verified = rules.mask_secrets(now) == text
        return ApplyOutcome(
            element_id=element_id,
            element=element.code,
            changed=True,
            verified=verified,
            device_ms=watch.ms,
            total_ms=watch.ms,
            error=None if verified else "the running configuration is not the restored one",
        )

    def _speak_to(self, element_id: ElementId) -> tuple[ElementView, Credentials]:
        return self._configuration.element(element_id), self._configuration.credentials(element_id)


def _words(difference: object) -> str:
    attributes = getattr(difference, "attributes", {})
    if attributes:
        return ", ".join(
            f"{name} should be {want} and is {have}" for name, (want, have) in attributes.items()
        )
    return "missing" if getattr(difference, "missing", False) else "still there"


class _Stopwatch:
    """Adds up the milliseconds spent inside its `with` blocks."""

    def __init__(self) -> None:
        self.ms = 0.0
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.ms += (time.perf_counter() - self._started) * 1000

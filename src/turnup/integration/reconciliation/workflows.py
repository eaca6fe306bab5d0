"""The standing comparison at work: read every side, judge, look twice, keep the findings, repair.

Touches the world (it asks the elements), so it is called from ticks and routes, never inside a transaction.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import structlog

from turnup.contracts import billing, configuration, inventory, orders, provisioning
from turnup.contracts.billing import BilledService
from turnup.contracts.inventory import ElementView
from turnup.contracts.orders import ProductView
from turnup.contracts.provisioning import Management, ServiceView
from turnup.contracts.reconciliation import Report
from turnup.integration.reconciliation import frames, rules
from turnup.integration.reconciliation.model import (
    Billed,
    Comparison,
    Desired,
    Facts,
    Mismatch,
    Repair,
    Seen,
    Sold,
)
from turnup.integration.reconciliation.service import Reconciliation
from turnup.kernel.errors import Conflict, InvalidInput, NotFound, TurnupError, Unavailable
from turnup.kernel.ids import ElementId, FindingId, ServiceId
from turnup.runtime.component import Runtime

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger(__name__)

_ACTOR = "workflow:reconciliation"
_ROLES = frozenset({"access", "bng", "dhcp", "aaa"})
"""Elements that hold fragments of services."""
_ELEMENTS_AT_ONCE = 8
_REPAIR_DEADLINE_S = 15.0


class Reconciler:
    """The comparison; touches the world: it reads the network elements."""

    def __init__(
        self,
        runtime: Runtime,
        findings: Reconciliation,
        *,
        sold: orders.Reads,
        desired: provisioning.Reads,
        services: provisioning.Commands,
        network: inventory.Reads,
        actual: configuration.Reads,
        billed: billing.Reads,
        billing_commands: billing.Commands,
        realiser: provisioning.Realise,
    ) -> None:
        self._runtime = runtime
        self.findings = findings
        self._sold = sold
        self._desired = desired
        self._services = services
        self._network = network
        self._actual = actual
        self._billed = billed
        self._billing = billing_commands
        self._realiser = realiser

    def run(self, *, repair: bool) -> Report:
        """Compare every service. A mismatch counts only if a second look, at these services alone, finds it
        again: the sides are read one after the other, and the house is not standing still meanwhile. With
        `repair`, mend what is safe and look again; only what is then gone counts as repaired."""
        first = self._compare(None)
        second = self._compare(_services(first.mismatches)) if first.mismatches else first
        known = {found.key for found in first.mismatches}
        confirmed = [found for found in second.mismatches if found.key in known]
        in_flight = first.in_flight | second.in_flight
        comparison = replace(first, in_flight=in_flight, unreachable=first.unreachable | second.unreachable)
        with self._runtime.unit("reconciliation", _ACTOR) as unit:
            ids = self.findings.keep(unit, comparison, confirmed)
        repaired = self._repair(confirmed) if repair else 0
        views = self.findings.findings_by_id(ids)
        return Report(
            checked=comparison.checked,
            found=len(views),
            repaired=repaired,
            unknown=comparison.unknown,
            in_flight=len(in_flight),
            findings=tuple(views),
            by_kind=dict(sorted(Counter(view.kind for view in views).items())),
        )

    def repair(self, finding_id: FindingId, actor: str) -> bool:
        found = self.findings.finding(finding_id)
        if found is None or found.repaired_at is not None:
            raise NotFound(f"there is no open finding {finding_id}", field="finding")
        if not found.safe:
            raise InvalidInput(
                "this one is a person's to mend", field="finding", remedy=found.repair or "see the service"
            )
        again = self._compare({found.service_id})
        there = [each for each in again.mismatches if each.kind == found.kind and each.safe]
        if not there:
            raise Conflict(
                "it is not there any more, or cannot be seen now",
                field="finding",
                remedy="compare again: turnup reconcile",
            )
        with self._runtime.unit("reconciliation", actor) as unit:
            unit.audit("reconciliation.repair_asked", finding_id, after=found.kind)
        return self._repair(there) > 0

    # --- repair -------------------------------------------------------------------------------------------

    def _repair(self, mismatches: Sequence[Mismatch]) -> int:
        dismissed = self.findings.dismissed()
        safe = [found for found in mismatches if found.safe and found.key not in dismissed]
        if not safe:
            return 0
        self._apply([found for found in safe if found.repair is Repair.APPLY])
        books = [found for found in safe if found.repair in (Repair.START_BILLING, Repair.STOP_BILLING)]
        self._mend_books(books, lambda found: found.since or self._runtime.clock.now())
        left = self._left(safe)
        stubborn = [found for found in books if found.key in left]
        if stubborn:
            # Billing's history says otherwise since that instant, knowingly: what counts is from now on.
            self._mend_books(stubborn, lambda _: self._runtime.clock.now())
            left = self._left(safe)
        with self._runtime.unit("reconciliation", _ACTOR) as unit:
            return self.findings.close(unit, [found.key for found in safe if found.key not in left])

    def _apply(self, mismatches: Sequence[Mismatch]) -> None:
        """One realisation mends a service on all its elements."""

        def one(service_id: UUID) -> None:
            with self._runtime.unit("provisioning", _ACTOR) as unit:
                admitted = self._services.admit_repair(unit, ServiceId(service_id))
            if not admitted:
                log.warning("repair_not_admitted", service_id=str(service_id))
                return
            try:
                done = self._realiser.realise(ServiceId(service_id), deadline_s=_REPAIR_DEADLINE_S)
                if done.ok:
                    return
                reason, later = done.error, done.transient
            except TurnupError as error:
                reason, later = str(error), isinstance(error, Unavailable)
            log.warning("repair_failed", service_id=str(service_id), reason=reason, again=later)
            if later:  # the element is away or busy: durably, with its own patience
                with self._runtime.unit("provisioning", _ACTOR) as unit:
                    self._services.repair(unit, ServiceId(service_id), unit.now.isoformat())

        _together(one, sorted(_services(mismatches)))

    def _mend_books(self, mismatches: Sequence[Mismatch], since: Callable[[Mismatch], datetime]) -> None:
        for found in mismatches:
            with self._runtime.unit("billing", _ACTOR) as unit:
                self._billing.repair_billable(
                    unit,
                    ServiceId(found.service_id),
                    active=found.repair is Repair.START_BILLING,
                    since=since(found),
                    reason=f"reconciliation: {found.kind}",
                )

    def _left(self, mismatches: Sequence[Mismatch]) -> set[tuple[str, UUID, str]]:
        """Which of these are there still; on an element that does not answer now, all."""
        again = self._compare(_services(mismatches))
        left = {found.key for found in again.mismatches}
        return left | {found.key for found in mismatches if found.element in again.unreachable}

    # --- reading ------------------------------------------------------------------------------------------

    def _compare(self, only: set[UUID] | None) -> Comparison:
        currency = str(self._runtime.settings.default_currency)
        return frames.compare(self._read(only), self._runtime.clock.now(), currency)

    def _read(self, only: set[UUID] | None) -> Facts:
        """What every side says now, of these services or of all. Orders are asked first and last: a product
        with an order at either end is in flight."""
        before = self._sold.products_in_flight()
        ids = None if only is None else [ServiceId(service_id) for service_id in sorted(only)]
        elements = [element for element in self._network.elements() if element.role in _ROLES]
        codes = {element.id: element.code for element in elements}
        answers = _together(lambda element: self._ask(element, ids), elements)
        intended = [
            (service_id, element.code)
            for element in elements
            for service_id in self._actual.intended(element.id)
            if only is None or service_id in only
        ]
        desired = self._desired.services(ids)
        sold = [product for product in self._sold.products() if only is None or product.service_id in only]
        billed = [b for b in self._billed.billed_services() if only is None or b.service_id in only]
        flying = before | self._sold.products_in_flight()
        return Facts(
            sold=tuple(_sold(product, in_flight=product.id in flying) for product in sold),
            desired=tuple(_desired(service, codes) for service in desired),
            billed=tuple(_billed(service) for service in billed),
            intended=tuple(intended),
            seen=tuple(seen for answer in answers if answer is not None for seen in answer),
            unreachable=frozenset(
                element.code for element, answer in zip(elements, answers, strict=True) if answer is None
            ),
        )

    def _ask(self, element: ElementView, services: Sequence[ServiceId] | None) -> Sequence[Seen] | None:
        """What the element differs in; None when it does not say: then nothing is found there."""
        try:
            differences = self._actual.differences(element.id, services)
        except TurnupError as error:
            log.warning("element_unknown", element=element.code, reason=str(error))
            return None
        return [
            Seen(
                difference.service_id,
                element.code,
                rules.held_as(
                    missing=difference.missing,
                    unexpected=difference.unexpected,
                    attributes=difference.attributes,
                ),
                rules.difference_text(difference.attributes),
            )
            for difference in differences
        ]


def _together(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(max_workers=_ELEMENTS_AT_ONCE, thread_name_prefix="reconcile") as pool:
        return list(pool.map(function, items))


def _services(mismatches: Iterable[Mismatch]) -> set[UUID]:
    return {found.service_id for found in mismatches}


def _sold(product: ProductView, *, in_flight: bool) -> Sold:
    return Sold(product.service_id, product.status.value, product.end, in_flight)


def _desired(service: ServiceView, codes: Mapping[ElementId, str]) -> Desired:
    return Desired(
        service_id=service.id,
        number=service.number,
        admission=service.admission.value,
        observed=service.management is Management.OBSERVED,
        proved=service.generation == service.verified_generation,
        online=service.facts.online,
        configured_at=service.configured_at,
        first_online_at=service.first_online_at,
        accepted_at=service.accepted_at,
        elements=tuple(codes[element] for element in service.elements.values() if element in codes),
    )


def _billed(service: BilledService) -> Billed:
    return Billed(
        service.service_id,
        service.billing_active,
        service.monthly_minor,
        service.currency,
        service.billing_start,
    )

"""A small ISP whose sides can be broken apart: fakes that keep state and behave like the components."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from turnup.contracts.billing import BilledService
from turnup.contracts.configuration import Difference, Fragment
from turnup.contracts.inventory import ElementView
from turnup.contracts.orders import ProductStatus, ProductView
from turnup.contracts.provisioning import (
    Admission,
    Management,
    Realisation,
    ServiceFacts,
    ServiceState,
    ServiceView,
)
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import (
    AccountId,
    CustomerId,
    ElementId,
    OfferingId,
    ProductId,
    ServiceId,
    SiteId,
    derived_id,
)
from turnup.runtime.database import refuse_in_transaction

LONG_AGO = datetime(2025, 12, 1, tzinfo=UTC)
ROLES = {"access": "olt1", "bng": "bng1", "aaa": "aaa1"}


def element_id(code: str) -> ElementId:
    return ElementId(derived_id("element", code))


@dataclass
class World:
    """Every side of the comparison; implements the Reads and Commands that reconciliation uses."""

    sold: dict[ServiceId, ProductView] = field(default_factory=dict)
    desired: dict[ServiceId, ServiceView] = field(default_factory=dict)
    intents: dict[tuple[str, ServiceId], dict[str, str]] = field(default_factory=dict)
    device: dict[tuple[str, ServiceId], dict[str, str]] = field(default_factory=dict)
    billed: dict[ServiceId, BilledService] = field(default_factory=dict)
    flying: set[ProductId] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    repairs: list[tuple[Any, ...]] = field(default_factory=list)
    durable_repairs: list[ServiceId] = field(default_factory=list)
    held: set[ServiceId] = field(default_factory=set)
    """What the brake holds."""
    billing_knows_better_until: datetime | None = None
    on_read: Callable[[], None] = lambda: None

    def add(self, name: str, *, monthly: int = 4000) -> ServiceId:
        """A service that is sold, served and billed."""
        service = ServiceId(derived_id("service", name))
        product = ProductId(derived_id("product", name))
        account, customer = AccountId(derived_id("account", name)), CustomerId(derived_id("customer", name))
        self.sold[service] = ProductView(
            id=product,
            service_id=service,
            customer_id=customer,
            account_id=account,
            offering_id=OfferingId(derived_id("offering", "fibre")),
            offering_code="fibre",
            name="Fibre",
            status=ProductStatus.ACTIVE,
            characteristics={},
            start=LONG_AGO,
            end=None,
        )
        self.desired[service] = ServiceView(
            id=service,
            number=f"S-{name}",
            product_id=product,
            customer_id=customer,
            account_id=account,
            spec_code="internet",
            state=ServiceState.ACCEPTED,
            management=Management.MANAGED,
            admission=Admission.FULL,
            generation=1,
            verified_generation=1,
            characteristics={},
            login=name,
            facts=ServiceFacts(online=True),
            elements={role: element_id(code) for role, code in ROLES.items()},
            configured_at=LONG_AGO,
            first_online_at=LONG_AGO,
            accepted_at=LONG_AGO,
        )
        self._render(service)
        self.billed[service] = BilledService(
            service_id=service,
            product_id=product,
            account_id=account,
            billing_active=True,
            suspended=False,
            monthly_minor=monthly,
            currency="EUR",
        )
        return service

    def _render(self, service: ServiceId) -> None:
        walled = self.desired[service].admission is Admission.WALLED
        for code in ROLES.values():
            attributes = {"down_kbps": "300000", "walled": "yes" if walled else "no"}
            self.intents[code, service] = dict(attributes)
            self.device[code, service] = dict(attributes)

    # --- reads --------------------------------------------------------------------------------------------

    def products(self, account_id: AccountId | None = None) -> Sequence[ProductView]:
        return list(self.sold.values())

    def products_in_flight(self) -> set[ProductId]:
        return set(self.flying)

    def services(self, service_ids: Sequence[ServiceId] | None = None) -> Sequence[ServiceView]:
        return [view for id_, view in self.desired.items() if service_ids is None or id_ in service_ids]

    def elements(self, role: str | None = None) -> Sequence[ElementView]:
        return [
            ElementView(
                id=element_id(code),
                code=code,
                role=each,
                site_id=SiteId(derived_id("site", "pop")),
                driver="fake",
                management={},
                status="in_service",
            )
            for each, code in ROLES.items()
        ]

    def intended(self, element: ElementId) -> Mapping[ServiceId, Fragment]:
        return {
            service: Fragment(service_id=service, kind="x", attributes=attributes, generation=1)
            for (code, service), attributes in self.intents.items()
            if element_id(code) == element
        }

    def differences(
        self, element: ElementId, services: Sequence[ServiceId] | None = None
    ) -> Sequence[Difference]:
        refuse_in_transaction("element")
        self.on_read()
        (code,) = (code for code in ROLES.values() if element_id(code) == element)
        if code in self.away:
            raise Unavailable(f"{code} does not answer")
        found = []
        for service in sorted({s for c, s in {*self.intents, *self.device} if c == code}):
            want, have = self.intents.get((code, service)), self.device.get((code, service))
            if want == have or (services is not None and service not in services):
                continue
            names = sorted({*(want or {}), *(have or {})}) if want is not None and have is not None else []
            found.append(
                Difference(
                    service_id=service,
                    kind="x",
                    missing=have is None,
                    unexpected=want is None,
                    attributes={
                        n: ((want or {}).get(n), (have or {}).get(n))
                        for n in names
                        if (want or {}).get(n) != (have or {}).get(n)
                    },
                )
            )
        return found

    def billed_services(self) -> Sequence[BilledService]:
        return list(self.billed.values())

    # --- commands -----------------------------------------------------------------------------------------

    def realise(self, service_id: ServiceId, *, deadline_s: float) -> Realisation:
        refuse_in_transaction("realise")
        self.repairs.append(("realise", service_id))
        ok = not self.locked
        if ok:
            self._render(service_id)
        return Realisation(
            service_id=service_id,
            generation=1,
            ok=ok,
            outcomes=(),
            turnup_ms=0,
            device_ms=0,
            error=None if ok else "locked",
            transient=not ok,
        )

    def admit_repair(self, unit: Any, service_id: ServiceId) -> bool:
        return service_id not in self.held and self.desired[service_id].admission is Admission.FULL

    def repair(self, unit: Any, service_id: ServiceId, key: str) -> None:
        self.durable_repairs.append(service_id)

    def repair_billable(
        self, unit: Any, service_id: ServiceId, *, active: bool, since: datetime, reason: str
    ) -> None:
        self.repairs.append(("bill" if active else "stop", service_id, since))
        if self.billing_knows_better_until is not None and since < self.billing_knows_better_until:
            return
        self.billed[service_id] = replace(self.billed[service_id], billing_active=active)

    def cease(self, service: ServiceId) -> None:
        self.sold[service] = replace(self.sold[service], status=ProductStatus.TERMINATED, end=LONG_AGO)
        self.desired[service] = replace(
            self.desired[service],
            admission=Admission.NONE,
            state=ServiceState.CEASED,
            elements={},
            facts=ServiceFacts(online=False),
        )
        for code in ROLES.values():
            self.intents.pop((code, service), None)
            self.device.pop((code, service), None)

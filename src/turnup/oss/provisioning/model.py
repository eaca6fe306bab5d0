"""Nouns of provisioning: a service as it is designed, what is known of it; a change that the brake holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from turnup.contracts.catalog import ServiceSpec
from turnup.contracts.inventory import role_of
from turnup.contracts.provisioning import (
    Admission,
    Cause,
    HoldState,
    HoldView,
    Management,
    ServiceFacts,
    ServiceState,
    ServiceView,
)
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ElementId, HoldId, ProductId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One customer-facing service. `resources` and `characteristics` are the design's inputs, by name."""

    id: ServiceId
    number: str
    product_id: ProductId
    customer_id: CustomerId
    account_id: AccountId
    address_id: AddressId | None
    spec: ServiceSpec
    state: ServiceState
    management: Management
    admission: Admission
    generation: int
    verified_generation: int
    characteristics: Mapping[str, str]
    resources: Mapping[str, str]
    elements: Mapping[str, ElementId]
    login: str
    secret_sealed: str
    facts: ServiceFacts
    configured_at: datetime | None = None
    first_online_at: datetime | None = None
    accepted_at: datetime | None = None
    reason: str | None = None

    def view(self) -> ServiceView:
        return ServiceView(
            id=self.id,
            number=self.number,
            product_id=self.product_id,
            customer_id=self.customer_id,
            account_id=self.account_id,
            spec_code=self.spec.code,
            state=self.state,
            management=self.management,
            admission=self.admission,
            generation=self.generation,
            verified_generation=self.verified_generation,
            characteristics=self.characteristics,
            login=self.login,
            facts=self.facts,
            elements=self._holders(),
            configured_at=self.configured_at,
            first_online_at=self.first_online_at,
            accepted_at=self.accepted_at,
        )

    def _holders(self) -> Mapping[str, ElementId]:
        """The elements that should hold a fragment; none once nothing is admitted."""
        if self.admission is Admission.NONE:
            return {}
        roles = {rfs.element_role for rfs in self.spec.rfs}
        return {key: element for key, element in self.elements.items() if role_of(key) in roles}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An automatic change that waits, or waited, for a person. `facts`: what it takes to go on."""

    id: HoldId
    n: int = 0
    cause: Cause
    actor: str
    what: str
    service_ids: tuple[ServiceId, ...]
    facts: Mapping[str, str]
    held_at: datetime
    state: HoldState = HoldState.HELD
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_reason: str | None = None

    def view(self) -> HoldView:
        return HoldView(
            id=self.id,
            n=self.n,
            cause=self.cause,
            actor=self.actor,
            what=self.what,
            service_ids=self.service_ids,
            held_at=self.held_at,
            state=self.state,
            decided_by=self.decided_by,
            decided_at=self.decided_at,
            decision_reason=self.decision_reason,
        )

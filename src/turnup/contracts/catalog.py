"""What others may know of the catalog: what can be sold, at what price, and what it is made of technically.

Offerings are versioned and effective-dated. Decomposition (offer -> product -> CFS -> RFS -> resources) is
data: a specification names the RFS kinds it needs, and characteristics flow by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from turnup.contracts.unit import Unit
from turnup.kernel.ids import OfferingId, PriceId


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceView:
    id: PriceId
    code: str
    name: str
    kind: str
    """one_time | recurring | usage"""
    amount: Decimal
    """In major units of `currency`, per period (recurring), per unit (usage); up to 6 decimals for usage."""
    currency: str
    tax_category: str
    period_months: int | None = None
    in_advance: bool = True
    unit: str | None = None
    """For usage: GB | minute | …"""
    included: Decimal = Decimal(0)
    """Units per bill period that are free."""
    option: str | None = None
    """Charged only if this boolean characteristic of the product is true (e.g. static_ipv4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacteristicSpec:
    name: str
    kind: str
    """string | integer | boolean"""
    default: str | int | bool | None = None
    mandatory: bool = False
    allowed: tuple[str | int | bool, ...] = ()
    configurable: bool = True
    """False: fixed by the offering, the customer may not choose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A human task that an order of this offering brings: an install visit, a kit to ship."""

    code: str
    name: str
    blocks: str
    """activation: the network waits for it; completion: only the order's completion does."""
    on_actions: tuple[str, ...] = ("add",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSpec:
    """What an RFS needs from inventory: access_port | vlan | ipv4 | ipv6_wan | ipv6_pd."""

    kind: str
    pool: str | None = None
    prefix_length: int | None = None
    option: str | None = None
    """Needed only if this boolean characteristic is true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RfsSpec:
    """A resource-facing service: one thing to configure on one kind of element.

    `element_role` is access | bng | aaa; `attributes` maps a fragment attribute to where its value comes
    from: ``char:NAME`` (product characteristic), ``res:KIND`` (reserved resource), ``const:VALUE``.
    """

    name: str
    element_role: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """A customer-facing service specification and what it decomposes to."""

    code: str
    name: str
    rfs: tuple[RfsSpec, ...]
    resources: tuple[ResourceSpec, ...]
    acceptance: str = "on_first_online"
    """on_first_online: the first session accepts the service; manual: someone must accept it."""


def resources_needed(
    service: ServiceSpec, characteristics: Mapping[str, str | int | bool] | Mapping[str, str]
) -> tuple[ResourceSpec, ...]:
    """What an instance with these characteristics needs: an entry with an option only if it is chosen, and
    then it takes the place of the optionless entry of its kind (an address from the static pool instead of
    the dynamic one). Characteristics may be text (``"true"``)."""
    chosen = [
        resource
        for resource in service.resources
        if resource.option is None or str(characteristics.get(resource.option, False)).lower() == "true"
    ]
    replaced = {resource.kind for resource in chosen if resource.option is not None}
    return tuple(
        resource for resource in chosen if resource.option is not None or resource.kind not in replaced
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingView:
    id: OfferingId
    """Identifies this version."""
    code: str
    version: int
    name: str
    description: str
    status: str
    """in_study | active | retired"""
    valid_from: datetime
    valid_to: datetime | None
    characteristics: tuple[CharacteristicSpec, ...]
    prices: tuple[PriceView, ...]
    service: ServiceSpec
    tasks: tuple[TaskSpec, ...] = ()
    billing_start: str = "acceptance"
    """acceptance | first_online | ready+N (N days after the configuration was verified)"""
    credit_policy: str = "standard"
    brand: str = "default"


class Reads(Protocol):
    def offering(self, offering_id: OfferingId) -> OfferingView | None: ...
    def offering_by_code(self, code: str, at: datetime) -> OfferingView | None:
        """The version of the offering in force at that instant."""
        ...

    def offerings(self, at: datetime | None = None) -> Sequence[OfferingView]: ...
    def policy(self, kind: str, code: str, at: datetime) -> Mapping[str, object] | None:
        """A credit, dunning or tax policy document in force at that instant."""
        ...

    def policies(self, kind: str, at: datetime) -> Mapping[str, Mapping[str, object]]: ...


class Commands(Protocol):
    def publish(self, unit: Unit, document: Mapping[str, object]) -> Sequence[OfferingId]:
        """Take over a catalog document (the YAML of `turnup import catalog`); unchanged offerings stay,
        changed ones get a new version. Errors name the path in the document."""
        ...

    def publish_policies(self, unit: Unit, document: Mapping[str, object]) -> int:
        """Take over credit, dunning and tax policies; returns how many changed."""
        ...

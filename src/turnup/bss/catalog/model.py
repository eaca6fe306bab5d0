"""Nouns of the catalog: an offering as a document describes it, before it becomes a version."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from turnup.contracts.catalog import CharacteristicSpec, ServiceSpec, TaskSpec

POLICY_KINDS = ("billing", "brake", "credit", "dunning", "tax")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDraft:
    code: str
    name: str
    kind: str
    amount: Decimal
    currency: str
    tax_category: str
    period_months: int | None = None
    in_advance: bool = True
    unit: str | None = None
    included: Decimal = Decimal(0)
    option: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingDraft:
    """An offering without version; `valid_from` None: from the moment it is published."""

    code: str
    name: str
    description: str
    status: str
    valid_from: datetime | None
    characteristics: tuple[CharacteristicSpec, ...]
    prices: tuple[PriceDraft, ...]
    service: ServiceSpec
    tasks: tuple[TaskSpec, ...]
    billing_start: str
    credit_policy: str
    brand: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDraft:
    kind: str
    code: str
    valid_from: datetime | None
    document: dict[str, object]
    """Plain JSON data: dates and decimals as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    kind: str
    code: str
    version: int
    valid_from: datetime
    document: dict[str, object]
    author: str

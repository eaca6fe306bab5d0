"""Nouns of crm: parties as others describe them, and the life of a message."""

from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from uuid import UUID

from turnup.contracts.crm import AccountView, CustomerView, NewAddress, NewCustomer, NewPaymentMethod
from turnup.kernel.ids import AddressId, BrandId, LegalEntityId, derived_id

DEFAULT_LEGAL_ENTITY = LegalEntityId(derived_id("legal_entity", "default"))
DEFAULT_BRAND = BrandId(derived_id("brand", "default"))


class PartyKind(StrEnum):
    INDIVIDUAL = "individual"
    ORGANIZATION = "organization"


class MessageState(StrEnum):
    """queued -> sent | failed; nothing leaves sent or failed."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyDetails:
    """What is known of a party itself; `name` is how to address it."""

    kind: PartyKind
    name: str
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    phone: str | None = None
    language: str = "en"
    address: NewAddress | None = None


@dataclass(frozen=True, slots=True)
class CustomerFile:
    """A customer with her party, its newest address and her accounts: what a document about her shows."""

    customer: CustomerView
    party: PartyDetails
    address_id: AddressId | None
    accounts: tuple[AccountView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyIds:
    """What leads to a party; see contracts.privacy.Person."""

    customers: tuple[UUID, ...]
    accounts: tuple[UUID, ...]
    addresses: tuple[UUID, ...]
    externals: tuple[str, ...]
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerTerms:
    """How a party becomes a customer and is billed; see contracts.crm.NewCustomer."""

    legal_entity: str = "default"
    brand: str = "default"
    currency: str = "EUR"
    time_zone: str = "Europe/Berlin"
    bill_cycle_day: int = 1
    tax_class: str = "standard"
    dunning_policy: str = "standard"
    number: str | None = None
    account_number: str | None = None
    external_id: str | None = None
    content_hash: str | None = None
    opening_balance_minor: int = 0
    billed_through: date | None = None
    next_bill_date: date | None = None
    payment_methods: tuple[NewPaymentMethod, ...] = ()

    @classmethod
    def of(cls, new: NewCustomer) -> "CustomerTerms":
        return cls(**{field.name: getattr(new, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    key: str
    customer_id: str
    template: str
    to: str | None
    subject: str
    body: str
    state: MessageState
    attempts: int
    error: str | None

"""What others may know of crm: who the customers are, whom to bill, where they live, how to reach them.

Personal data lives in crm only: events carry ids, and other components ask when they must show a name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import ClassVar, Protocol

from turnup.contracts.unit import Event, Unit
from turnup.kernel.ids import AccountId, AddressId, BrandId, CustomerId, LegalEntityId, PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressView:
    id: AddressId
    street: str
    postcode: str
    city: str
    country: str
    """ISO 3166-1 alpha-2."""
    latitude: Decimal | None = None
    longitude: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerView:
    id: CustomerId
    number: str
    party_id: PartyId
    name: str
    kind: str
    """individual | organization"""
    email: str | None
    phone: str | None
    language: str
    status: str
    """active | closed"""
    legal_entity_id: LegalEntityId
    brand_id: BrandId
    address_id: AddressId | None = None
    """Where she lives now: her newest address, also the postal one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    id: AccountId
    number: str
    customer_id: CustomerId
    currency: str
    time_zone: str
    bill_cycle_day: int
    """1-31, clamped to the month's length."""
    tax_class: str
    dunning_policy: str
    legal_entity_id: LegalEntityId
    brand_id: BrandId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAddress:
    street: str
    postcode: str
    city: str
    country: str
    latitude: Decimal | None = None
    longitude: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPaymentMethod:
    """A way to pay that was agreed elsewhere. `secret`: the IBAN of a mandate, or a payment provider's token;
    kept sealed."""

    kind: str
    """direct_debit | token"""
    reference: str
    """The mandate's unique reference (SEPA: UMR), or what the provider calls the token's owner."""
    secret: str = field(repr=False)
    provider: str | None = None
    """Of a token."""
    signed_on: date | None = None
    """Of a mandate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethodView:
    """A way to pay, without its secret: `hint` is its last four characters."""

    account_id: AccountId
    kind: str
    reference: str
    provider: str | None
    signed_on: date | None
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCustomer:
    """`external_id` (the id in the system it came from) makes creation idempotent."""

    name: str
    address: NewAddress
    kind: str = "individual"
    email: str | None = None
    phone: str | None = None
    language: str = "en"
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
    """Tells a repeated request from another one under the same external id, which raises Conflict."""
    given_name: str | None = None
    family_name: str | None = None
    opening_balance_minor: int = 0
    """Debt (+) or credit (-) taken over from a former system."""
    billed_through: date | None = None
    """Half-open end of what the former system billed."""
    next_bill_date: date | None = None
    """When the first bill of ours is due; None: at the end of the bill cycle after `billed_through`."""
    payment_methods: tuple["NewPaymentMethod", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerChange:
    """What another system says of a customer now. None: as it is. `fields` names what differs."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    language: str | None = None
    address: NewAddress | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerOpened:
    customer_id: CustomerId
    account_id: AccountId
    address_id: AddressId


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """As an envelope says it."""

    name: str
    street: str
    postcode: str
    city: str
    country: str


class Reads(Protocol):
    def customer(self, customer_id: CustomerId) -> CustomerView | None: ...
    def customers(self, customer_ids: Sequence[CustomerId]) -> Mapping[CustomerId, CustomerView]: ...
    def customer_by_number(self, number: str) -> CustomerView | None: ...
    def search_customers(self, text: str, limit: int) -> Sequence[CustomerView]:
        """By name: customers in whose name each word of the text begins a word, whose phone number ends with
        its digits (five at least, leading zeros apart), or whose mail address it is."""
        ...

    def account(self, account_id: AccountId) -> AccountView | None: ...
    def account_by_number(self, number: str) -> AccountView | None: ...
    def accounts_of(self, customer_id: CustomerId) -> Sequence[AccountView]: ...
    def address(self, address_id: AddressId) -> AddressView | None: ...
    def payment_methods(self, account_id: AccountId) -> Sequence[PaymentMethodView]: ...
    def recipient(self, customer_id: CustomerId) -> Recipient | None:
        """To whom her documents are addressed; of an erased customer as it was, as long as law wants it."""
        ...

    def legal_entity(self, code: str) -> LegalEntityId | None: ...
    def legal_entity_name(self, legal_entity_id: LegalEntityId) -> str | None:
        """As it stands at the head of its documents."""
        ...


class Commands(Protocol):
    def open_customer(self, unit: Unit, new: NewCustomer) -> CustomerOpened:
        """Create party, customer, address, contact and billing account in one go."""
        ...

    def change_customer(self, unit: Unit, customer_id: CustomerId, change: CustomerChange) -> None:
        """Take over what another system knows better. Another address is added; services stay where they
        were built. Raises NotFound, InvalidInput."""
        ...

    def notify(
        self, unit: Unit, customer_id: CustomerId, template: str, key: str, facts: Mapping[str, str]
    ) -> None:
        """Send a message by the customer's preferred channel, once per key (a durable step sends it)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerCreated(Event):
    """A party became a customer."""

    aggregate: ClassVar[str] = "customer_id"
    customer_id: CustomerId
    legal_entity_id: LegalEntityId
    brand_id: BrandId


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOpened(Event):
    """A billing account exists. Carries all that billing needs to know of it; no personal data."""

    aggregate: ClassVar[str] = "account_id"
    account_id: AccountId
    customer_id: CustomerId
    number: str
    currency: str
    time_zone: str
    bill_cycle_day: int
    tax_class: str
    dunning_policy: str
    legal_entity_id: LegalEntityId
    brand_id: BrandId
    opened_on: date
    opening_balance_minor: int = 0
    """Debt (+) or credit (-) taken over from a former system."""
    billed_through: date | None = None
    """Half-open end of what the former system billed; nothing before it is billed again."""
    next_bill_date: date | None = None
    """When our first bill is due; None: when the bill cycle after `billed_through` ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one customer, already rendered."""

    key: str
    to: str
    subject: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


class MessageGateway(Protocol):
    """Port: carries a message out of the house. Sending the same key again must be harmless."""

    def send(self, message: Message) -> None: ...

"""Use cases of crm: open customers, keep parties, tell customers things. Implements contracts.crm."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any
from uuid import UUID

from turnup.bss.crm import store
from turnup.bss.crm.model import (
    CustomerFile,
    CustomerTerms,
    MessageState,
    MessageView,
    PartyDetails,
    PartyIds,
    PartyKind,
)
from turnup.bss.crm.rules import (
    Templates,
    check_account,
    check_address,
    check_customer,
    check_party,
    check_payment_method,
    render,
    sought,
)
from turnup.contracts.crm import (
    AccountOpened,
    AccountView,
    AddressView,
    CustomerChange,
    CustomerCreated,
    CustomerOpened,
    CustomerView,
    NewAddress,
    NewCustomer,
    NewPaymentMethod,
    PaymentMethodView,
    Recipient,
)
from turnup.contracts.unit import Unit
from turnup.kernel.clock import business_date
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import (
    AccountId,
    AddressId,
    BrandId,
    CustomerId,
    LegalEntityId,
    PartyId,
    derived_id,
    new_id,
)
from turnup.runtime.component import Runtime
from turnup.runtime.rows import Rows, Wanted
from turnup.runtime.secrets import key_id_of

DELIVER = "crm.deliver"

Seal = Callable[[str, str], str]
"""(secret, or what sealed it before; context) -> sealed text that may be stored."""


def _no_seal(secret: str, context: str) -> str:
    raise Conflict("nothing here seals secrets", field="payment_methods", remedy="assemble crm with a seal")


class CrmService:
    """See contracts.crm.Reads and Commands."""

    def __init__(self, runtime: Runtime, templates: Templates, seal: Seal | None = None) -> None:
        self._runtime = runtime
        self._seal = seal or _no_seal
        self._templates = templates

    # reads

    def customer(self, customer_id: CustomerId) -> CustomerView | None:
        return self.customers([customer_id]).get(customer_id)

    def customers(self, customer_ids: Sequence[CustomerId]) -> Mapping[CustomerId, CustomerView]:
        with self._runtime.snapshot("crm") as connection:
            return {view.id: view for view in store.customers(connection, customer_ids)}

    def all_customers(self) -> Sequence[CustomerView]:
        with self._runtime.snapshot("crm") as connection:
            return store.customers(connection)

    def customer_rows(self, wanted: Wanted) -> Rows[CustomerFile]:
        """A page of them, for lists."""
        with self._runtime.snapshot("crm") as connection:
            return store.customer_rows(connection, wanted)

    def customer_by_number(self, number: str) -> CustomerView | None:
        with self._runtime.snapshot("crm") as connection:
            return store.customer_by(connection, number=number)

    def search_customers(self, text: str, limit: int) -> Sequence[CustomerView]:
        if not text.strip():
            return []
        wanted = sought(text)
        with self._runtime.snapshot("crm") as connection:
            return store.search_customers(
                connection, words=wanted.words, phone_end=wanted.phone_end, mail=wanted.mail, limit=limit
            )

    def account(self, account_id: AccountId) -> AccountView | None:
        return self._one_account(account_id=account_id)

    def account_by_number(self, number: str) -> AccountView | None:
        return self._one_account(number=number)

    def accounts_of(self, customer_id: CustomerId) -> Sequence[AccountView]:
        with self._runtime.snapshot("crm") as connection:
            return store.accounts(connection, customer_id=customer_id)

    def all_accounts(self) -> Sequence[AccountView]:
        with self._runtime.snapshot("crm") as connection:
            return store.accounts(connection)

    def account_rows(self, wanted: Wanted) -> Rows[AccountView]:
        """A page of them, for lists."""
        with self._runtime.snapshot("crm") as connection:
            return store.account_rows(connection, wanted)

    def address(self, address_id: AddressId) -> AddressView | None:
        with self._runtime.snapshot("crm") as connection:
            return store.address(connection, address_id)

    def address_rows(self, wanted: Wanted) -> Rows[AddressView]:
        """A page of them, for lists."""
        with self._runtime.snapshot("crm") as connection:
            return store.address_rows(connection, wanted)

    def payment_methods(self, account_id: AccountId) -> Sequence[PaymentMethodView]:
        with self._runtime.snapshot("crm") as connection:
            return store.payment_methods(connection, account_id)

    def recipient(self, customer_id: CustomerId) -> Recipient | None:
        with self._runtime.snapshot("crm") as connection:
            kept = store.recipient(connection, customer_id)
            found = store.customers(connection, [customer_id])
            where = store.newest_address(connection, found[0].party_id) if found else None
        if kept is not None or not found:
            return kept
        return Recipient(
            name=found[0].name,
            street=where.street if where else "",
            postcode=where.postcode if where else "",
            city=where.city if where else "",
            country=where.country if where else "",
        )

    def person(self, named: str) -> tuple[PartyId, PartyIds]:
        """Who is meant by a customer's number, a mail address, or the id of a customer or party. Raises
        NotFound, and Conflict where a mail address is several parties'."""
        with self._runtime.snapshot("crm") as connection:
            party_id = _party_named(connection, named.strip())
            return party_id, store.ids_of_party(connection, party_id)

    def legal_entity(self, code: str) -> LegalEntityId | None:
        with self._runtime.snapshot("crm") as connection:
            return store.legal_entity(connection, code)

    def brand(self, code: str) -> BrandId | None:
        with self._runtime.snapshot("crm") as connection:
            return store.brand(connection, code)

    def legal_entity_name(self, legal_entity_id: LegalEntityId) -> str | None:
        with self._runtime.snapshot("crm") as connection:
            return store.legal_entity_name(connection, legal_entity_id)

    def party(self, party_id: UUID) -> tuple[PartyDetails, AddressId | None] | None:
        """The party and the id of its newest address."""
        with self._runtime.snapshot("crm") as connection:
            return store.party(connection, party_id)

    def customer_file(self, view: CustomerView) -> CustomerFile:
        """The customer with her party and accounts."""
        with self._runtime.snapshot("crm") as connection:
            return store.customer_files(connection, [view])[0]

    def party_rows(
        self, kind: PartyKind, wanted: Wanted
    ) -> Rows[tuple[UUID, PartyDetails, AddressId | None]]:
        """A page of the parties of one kind."""
        with self._runtime.snapshot("crm") as connection:
            return store.party_rows(connection, kind, wanted)

    def message(self, key: str) -> MessageView | None:
        with self._runtime.snapshot("crm") as connection:
            return store.message(connection, key)

    def messages(self, customer_id: CustomerId) -> Sequence[MessageView]:
        """What the customer was told, oldest first."""
        with self._runtime.snapshot("crm") as connection:
            return store.messages(connection, customer_id)

    def queued_messages(self) -> Sequence[str]:
        """Keys of the messages that are still to be sent, the oldest first."""
        with self._runtime.snapshot("crm") as connection:
            return store.queued_messages(connection)

    # commands

    def ensure_legal_entity(self, unit: Unit, code: str, name: str) -> LegalEntityId:
        """Add a legal entity, or give it another name."""
        identity = LegalEntityId(derived_id("legal_entity", code))
        store.ensure_entity(unit.connection, "legal_entity", identity, code, name)
        unit.audit("crm.legal_entity", identity, after={"code": code, "name": name})
        return identity

    def ensure_brand(self, unit: Unit, code: str, name: str) -> BrandId:
        """Add a brand, or give it another name."""
        identity = BrandId(derived_id("brand", code))
        store.ensure_entity(unit.connection, "brand", identity, code, name)
        unit.audit("crm.brand", identity, after={"code": code, "name": name})
        return identity

    def create_party(self, unit: Unit, details: PartyDetails, key: str | None = None) -> PartyId:
        """A person or organisation that is not (yet) a customer; the same key makes one only."""
        check_party(details)
        party_id = PartyId(derived_id("party", key) if key else new_id())
        if key is not None:
            store.lock_external(unit.connection, f"party:{key}")
            if store.party(unit.connection, party_id) is not None:
                return party_id
        store.add_party(unit.connection, party_id, details, unit.now)
        unit.audit("crm.create_party", party_id)
        if details.address is not None:
            self.add_address(unit, party_id, details.address)
        return party_id

    def update_party(self, unit: Unit, party_id: PartyId, details: PartyDetails) -> None:
        """Replace what is known of the party; another address is added, old ones stay for what was built
        there. Raises NotFound."""
        check_party(details)
        known = store.party(unit.connection, party_id)
        if known is None:
            raise NotFound(f"there is no party {party_id}", field="id")
        if store.is_erased(unit.connection, party_id):
            raise _erased("id")
        store.update_party(unit.connection, party_id, details)
        if details.address is not None and details.address != known[0].address:
            self.add_address(unit, party_id, details.address)
        changed = [field.name for field in fields(details) if _differs(known[0], details, field.name)]
        unit.audit("crm.update_party", party_id, after={"changed": changed})  # which, never what it was or is

    def add_address(self, unit: Unit, party_id: PartyId, new: NewAddress) -> AddressId:
        check_address(new)
        address_id = AddressId(new_id())
        store.add_address(unit.connection, address_id, party_id, new, unit.now)
        return address_id

    def open_customer(self, unit: Unit, new: NewCustomer) -> CustomerOpened:
        """Party, customer, address, contacts and billing account in one go; with an `external_id` that is
        known, what it made the first time."""
        details = check_customer(new)
        known = self._known(unit, new.external_id, new.content_hash)
        if known is not None:
            return known
        party_id = self.create_party(unit, details)
        return self._open(unit, CustomerTerms.of(new), party_id)

    def open_customer_for(self, unit: Unit, party_id: PartyId, terms: CustomerTerms) -> CustomerOpened:
        """The same for a party that is known already. Raises InvalidInput when there is none."""
        if store.party(unit.connection, party_id) is None:
            raise InvalidInput(
                f"there is no party {party_id}", field="engagedParty.id", remedy="create the party first"
            )
        if store.is_erased(unit.connection, party_id):
            raise _erased("engagedParty.id")
        check_account(terms.currency, terms.time_zone, terms.bill_cycle_day)
        return self._known(unit, terms.external_id, terms.content_hash) or self._open(unit, terms, party_id)

    def change_customer(self, unit: Unit, customer_id: CustomerId, change: CustomerChange) -> None:
        """See contracts.crm.Commands."""
        found = store.customers(unit.connection, [customer_id])
        known = store.party(unit.connection, found[0].party_id) if found else None
        if known is None:
            raise NotFound(f"there is no customer {customer_id}", field="customer_id")
        given = {
            name: value
            for name in ("name", "email", "phone", "language", "address")
            if (value := getattr(change, name)) is not None
        }
        self.update_party(unit, found[0].party_id, replace(known[0], **given))

    def notify(
        self, unit: Unit, customer_id: CustomerId, template: str, key: str, facts: Mapping[str, str]
    ) -> None:
        """Render now, send by a durable step; once per key. A customer without mail gets a failed message."""
        found = store.customers(unit.connection, [customer_id])
        if not found:
            raise NotFound(f"there is no customer {customer_id}", field="customer_id")
        customer = found[0]
        subject, body = render(self._templates, template, customer.language, {"name": customer.name, **facts})
        added = store.add_message(
            unit.connection,
            {
                "key": key,
                "customer_id": customer_id,
                "template": template,
                "recipient": customer.email,
                "subject": subject,
                "body": body,
                "state": MessageState.QUEUED if customer.email else MessageState.FAILED,
                "error": None if customer.email else "the customer has no mail address",
                "created_at": unit.now,
            },
        )
        if added and customer.email:
            unit.start(DELIVER, f"{DELIVER}:{key}", key)

    def message_sent(self, unit: Unit, key: str, attempts: int) -> None:
        store.finish_message(unit.connection, key, MessageState.SENT, attempts, None, unit.now)

    def message_failed(self, unit: Unit, key: str, attempts: int, error: str) -> None:
        store.finish_message(unit.connection, key, MessageState.FAILED, attempts, error, unit.now)

    # inside

    def _one_account(
        self, *, account_id: AccountId | None = None, number: str | None = None
    ) -> AccountView | None:
        with self._runtime.snapshot("crm") as connection:
            found = store.accounts(connection, account_id=account_id, number=number)
        return found[0] if found else None

    def _known(self, unit: Unit, external_id: str | None, content_hash: str | None) -> CustomerOpened | None:
        """What this foreign customer became the first time."""
        if external_id is None:
            return None
        store.lock_external(unit.connection, external_id)
        customer = store.customer_by(unit.connection, external_id=external_id)
        if customer is None:
            former = derived_id("customer", external_id)
            if store.party_of_customer(unit.connection, former) is not None:
                raise _erased("external_id")
            return None
        first = store.content_hash(unit.connection, customer.id)
        if content_hash is not None and first not in (None, content_hash):
            raise Conflict(
                "this idempotency key was used for another customer",
                field="Idempotency-Key",
                remedy="use a new key for a new customer",
            )
        account = store.accounts(unit.connection, customer_id=customer.id)[0]
        address = store.newest_address(unit.connection, customer.party_id)
        if address is None:
            raise Conflict(f"the customer {customer.number} has no address", field="address")
        return CustomerOpened(customer_id=customer.id, account_id=account.id, address_id=address.id)

    def _open(self, unit: Unit, new: CustomerTerms, party_id: PartyId) -> CustomerOpened:
        address = store.newest_address(unit.connection, party_id)
        if address is None:
            raise InvalidInput("a customer lives somewhere", field="address", remedy="give an address")
        entity, brand = self._house(unit, new)
        customer_id = CustomerId(
            derived_id("customer", new.external_id) if new.external_id is not None else new_id()
        )
        store.add_row(
            unit.connection,
            "customer",
            {
                "customer_id": customer_id,
                "number": self._number(unit, "customer", new.number),
                "party_id": party_id,
                "status": "active",
                "legal_entity_id": entity,
                "brand_id": brand,
                "external_id": new.external_id,
                "content_hash": new.content_hash,
                "created_at": unit.now,
            },
        )
        unit.emit(CustomerCreated(customer_id=customer_id, legal_entity_id=entity, brand_id=brand))
        account_id = self._open_account(unit, new, customer_id, entity, brand)
        unit.audit("crm.open_customer", customer_id, after={"account_id": str(account_id)})
        return CustomerOpened(customer_id=customer_id, account_id=account_id, address_id=address.id)

    def _open_account(
        self, unit: Unit, new: CustomerTerms, customer_id: CustomerId, entity: LegalEntityId, brand: BrandId
    ) -> AccountId:
        account = AccountView(
            id=AccountId(derived_id("account", customer_id)),
            number=self._number(unit, "account", new.account_number),
            customer_id=customer_id,
            currency=new.currency,
            time_zone=new.time_zone,
            bill_cycle_day=new.bill_cycle_day,
            tax_class=new.tax_class,
            dunning_policy=new.dunning_policy,
            legal_entity_id=entity,
            brand_id=brand,
        )
        row = {name: getattr(account, name) for name in AccountView.__slots__ if name != "id"}
        store.add_row(unit.connection, "account", {"account_id": account.id, **row, "created_at": unit.now})
        unit.emit(
            AccountOpened(
                account_id=account.id,
                **row,
                opened_on=business_date(unit.now, account.time_zone),
                opening_balance_minor=new.opening_balance_minor,
                billed_through=new.billed_through,
                next_bill_date=new.next_bill_date,
            )
        )
        for method in new.payment_methods:
            self._add_payment_method(unit, account.id, method)
        return account.id

    def _add_payment_method(self, unit: Unit, account_id: AccountId, method: NewPaymentMethod) -> None:
        check_payment_method(method)
        secret = "".join(method.secret.split())
        store.add_row(
            unit.connection,
            "payment_method",
            {
                "account_id": account_id,
                "kind": method.kind,
                "reference": method.reference,
                "provider": method.provider,
                "signed_on": method.signed_on,
                "sealed": self._seal(secret, str(account_id)),
                "hint": secret[-4:],
                "created_at": unit.now,
            },
        )

    def reseal(self, unit: Unit, rewrap: Seal) -> int:
        """Wrap every stored secret by the key file's current key; returns how many had an older one."""
        resealed = 0
        for account_id, old in store.sealed_payment_methods(unit.connection):
            new = rewrap(old, str(account_id))
            if new != old:
                resealed += store.reseal_payment_method(unit.connection, account_id, old, new)
        if resealed:
            unit.audit("crm.resealed", "secrets", after=resealed)
        return resealed

    def sealed_by(self) -> Counter[str]:
        """How many stored secrets each key of the key file opens, by its id."""
        with self._runtime.snapshot("crm") as connection:
            keys = [key_id_of(sealed) for _, sealed in store.sealed_payment_methods(connection)]
        return Counter(key for key in keys if key is not None)

    def _house(self, unit: Unit, new: CustomerTerms) -> tuple[LegalEntityId, BrandId]:
        entity = store.legal_entity(unit.connection, new.legal_entity)
        if entity is None:
            raise InvalidInput(
                f"there is no legal entity {new.legal_entity!r}",
                field="legal_entity",
                remedy="define it first",
            )
        brand = store.brand(unit.connection, new.brand)
        if brand is None:
            raise InvalidInput(f"there is no brand {new.brand!r}", field="brand", remedy="define it first")
        return entity, brand

    def _number(self, unit: Unit, kind: str, wanted: str | None) -> str:
        if wanted is None:
            return store.next_number(unit.connection, kind)
        if store.is_taken(unit.connection, kind, wanted):
            raise Conflict(
                f"the {kind} number {wanted} is taken",
                field="number" if kind == "customer" else "account_number",
                remedy="choose another, or leave it out to get the next free one",
            )
        return wanted


def _erased(field: str) -> Conflict:
    return Conflict(
        "this person was erased", field=field, remedy="make a new customer, under a key of its own"
    )


def _party_named(connection: Any, named: str) -> PartyId:
    customer = store.customer_by(connection, number=named)
    if customer is not None:
        return customer.party_id
    found: list[UUID] = store.parties_with_mail(connection, named) if "@" in named else []
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} parties have this mail address",
            field="person",
            remedy="give the customer's number",
        )
    with suppress(ValueError):
        given = UUID(named)
        owner = store.party_of_customer(connection, given)
        found = [owner] if owner else [given] if store.party(connection, given) else []
    if not found:
        raise NotFound(
            "there is no such person",
            field="person",
            remedy="give a customer's number, mail address, or the id of a customer or party",
        )
    return PartyId(found[0])


def _differs(before: PartyDetails, after: PartyDetails, name: str) -> bool:
    return bool(getattr(before, name) != getattr(after, name))

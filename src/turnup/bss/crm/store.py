"""CRM's SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    ScalarSelect,
    Select,
    exists,
    func,
    insert,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from turnup.bss.crm import tables
from turnup.bss.crm.model import CustomerFile, MessageState, MessageView, PartyDetails, PartyIds, PartyKind
from turnup.contracts.crm import (
    AccountView,
    AddressView,
    CustomerView,
    NewAddress,
    PaymentMethodView,
    Recipient,
)
from turnup.kernel.ids import AccountId, AddressId, BrandId, CustomerId, LegalEntityId, PartyId
from turnup.runtime.rows import Listing, Rows, Wanted

PartyRow = tuple[UUID, PartyDetails, AddressId | None]

_customer, _party, _contact = tables.customer, tables.party, tables.contact
_account, _address, _message = tables.account, tables.address, tables.message


def lock_external(connection: Connection, external_id: str) -> None:
    """Two takeovers of the same foreign customer wait for each other."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('crm.external:' || :id, 0))"), {"id": external_id}
    )


_NUMBERED = {
    "customer": (tables.customer_number, _customer.c.number, "C"),
    "account": (tables.account_number, _account.c.number, "A"),
}


def next_number(connection: Connection, kind: str) -> str:
    """``C-100001`` or ``A-100001``; race-free, and past numbers that an import brought with it."""
    sequence, _column, prefix = _NUMBERED[kind]
    while True:
        number = f"{prefix}-{connection.scalar(select(sequence.next_value()))}"
        if not is_taken(connection, kind, number):
            return number


def is_taken(connection: Connection, kind: str, number: str) -> bool:
    """Whether a customer or account has this number."""
    column = _NUMBERED[kind][1]
    return bool(connection.scalar(select(exists().where(column == number))))


def legal_entity(connection: Connection, code: str) -> LegalEntityId | None:
    table = tables.legal_entity
    found = connection.scalar(select(table.c.legal_entity_id).where(table.c.code == code))
    return None if found is None else LegalEntityId(found)


def legal_entity_name(connection: Connection, legal_entity_id: LegalEntityId) -> str | None:
    table = tables.legal_entity
    found: str | None = connection.scalar(
        select(table.c.name).where(table.c.legal_entity_id == legal_entity_id)
    )
    return found


def brand(connection: Connection, code: str) -> BrandId | None:
    found = connection.scalar(select(tables.brand.c.brand_id).where(tables.brand.c.code == code))
    return None if found is None else BrandId(found)


def ensure_entity(connection: Connection, table_name: str, identity: UUID, code: str, name: str) -> None:
    """Add a legal entity or brand, or rename it."""
    table = tables.metadata.tables[f"crm.{table_name}"]
    statement = upsert(table).values({f"{table_name}_id": identity, "code": code, "name": name})
    connection.execute(statement.on_conflict_do_update(index_elements=["code"], set_={"name": name}))


def add_party(connection: Connection, party_id: PartyId, details: PartyDetails, at: datetime) -> None:
    connection.execute(
        insert(_party).values(
            party_id=party_id,
            kind=details.kind,
            name=details.name,
            given_name=details.given_name,
            family_name=details.family_name,
            language=details.language,
            created_at=at,
        )
    )
    set_contacts(connection, party_id, {"email": details.email, "phone": details.phone})


def update_party(connection: Connection, party_id: PartyId, details: PartyDetails) -> None:
    connection.execute(
        update(_party)
        .where(_party.c.party_id == party_id)
        .values(
            name=details.name,
            given_name=details.given_name,
            family_name=details.family_name,
            language=details.language,
        )
    )
    set_contacts(connection, party_id, {"email": details.email, "phone": details.phone})


def set_contacts(connection: Connection, party_id: PartyId, wanted: Mapping[str, str | None]) -> None:
    connection.execute(_contact.delete().where(_contact.c.party_id == party_id))
    rows = [{"party_id": party_id, "kind": kind, "value": value} for kind, value in wanted.items() if value]
    if rows:
        connection.execute(insert(_contact), rows)


def add_address(
    connection: Connection, address_id: AddressId, party_id: PartyId, new: NewAddress, at: datetime
) -> None:
    connection.execute(
        insert(_address).values(
            address_id=address_id,
            party_id=party_id,
            street=new.street,
            postcode=new.postcode,
            city=new.city,
            country=new.country,
            latitude=new.latitude,
            longitude=new.longitude,
            created_at=at,
        )
    )


def payment_methods(connection: Connection, account_id: AccountId) -> list[PaymentMethodView]:
    table = tables.payment_method
    names = PaymentMethodView.__dataclass_fields__
    rows = connection.execute(
        select(*(table.c[name] for name in names))
        .where(table.c.account_id == account_id)
        .order_by(table.c.created_at, table.c.reference)
    )
    return [PaymentMethodView(**row._mapping) for row in rows]


def sealed_payment_methods(connection: Connection) -> list[tuple[UUID, str]]:
    table = tables.payment_method
    return [
        (row.account_id, row.sealed) for row in connection.execute(select(table.c.account_id, table.c.sealed))
    ]


def reseal_payment_method(connection: Connection, account_id: UUID, old: str, new: str) -> int:
    table = tables.payment_method
    return connection.execute(
        update(table).where(table.c.account_id == account_id, table.c.sealed == old).values(sealed=new)
    ).rowcount


def add_row(connection: Connection, table_name: str, row: Mapping[str, object]) -> None:
    connection.execute(insert(tables.metadata.tables[f"crm.{table_name}"]).values(dict(row)))


def party(connection: Connection, party_id: UUID) -> tuple[PartyDetails, AddressId | None] | None:
    """The party and the id of its newest address."""
    return parties(connection, [party_id]).get(party_id)


def parties(
    connection: Connection, party_ids: Sequence[UUID]
) -> dict[UUID, tuple[PartyDetails, AddressId | None]]:
    """These parties, each with the id of its newest address."""
    contacts: dict[UUID, dict[str, str]] = {}
    for contact in connection.execute(select(_contact).where(_contact.c.party_id.in_(party_ids))):
        contacts.setdefault(contact.party_id, {})[contact.kind] = contact.value
    newest = (
        select(_address)
        .ext(distinct_on(_address.c.party_id))
        .where(_address.c.party_id.in_(party_ids))
        .order_by(_address.c.party_id, _address.c.created_at.desc(), _address.c.address_id.desc())
    )
    addresses = {row.party_id: _address_view(row) for row in connection.execute(newest)}
    found = connection.execute(select(_party).where(_party.c.party_id.in_(party_ids)))
    return {
        row.party_id: _party_details(row, contacts.get(row.party_id, {}), addresses.get(row.party_id))
        for row in found
    }


def _party_details(
    row: Row[Any], contacts: Mapping[str, str], address: AddressView | None
) -> tuple[PartyDetails, AddressId | None]:
    details = PartyDetails(
        kind=PartyKind(row.kind),
        name=row.name,
        given_name=row.given_name,
        family_name=row.family_name,
        email=contacts.get("email"),
        phone=contacts.get("phone"),
        language=row.language,
        address=None if address is None else _as_new(address),
    )
    return details, None if address is None else address.id


_PARTIES = Listing(
    {
        "id": _party.c.party_id,
        "name": _party.c.name,
        "given_name": _party.c.given_name,
        "family_name": _party.c.family_name,
    },
    identity="id",
    sortable=["name"],
)


def party_rows(connection: Connection, kind: PartyKind, wanted: Wanted) -> Rows[PartyRow]:
    """A page of the parties of one kind."""

    def views(rows: Sequence[Row[Any]]) -> list[PartyRow]:
        found = parties(connection, [row.party_id for row in rows])
        return [(row.party_id, *found[row.party_id]) for row in rows]

    statement = select(_party.c.party_id).where(_party.c.kind == kind)
    return _PARTIES.rows(connection, statement, wanted, views)


def newest_address(connection: Connection, party_id: PartyId) -> AddressView | None:
    row = connection.execute(
        select(_address)
        .where(_address.c.party_id == party_id)
        .order_by(_address.c.created_at.desc(), _address.c.address_id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _address_view(row)


def address(connection: Connection, address_id: AddressId) -> AddressView | None:
    row = connection.execute(select(_address).where(_address.c.address_id == address_id)).one_or_none()
    return None if row is None else _address_view(row)


_ADDRESSES = Listing(
    {
        "id": _address.c.address_id,
        "street": _address.c.street,
        "postcode": _address.c.postcode,
        "city": _address.c.city,
        "country": _address.c.country,
    },
    identity="id",
    sortable=["postcode", "city"],
)


def address_rows(connection: Connection, wanted: Wanted) -> Rows[AddressView]:
    """A page of the addresses, for lists."""
    return _ADDRESSES.rows(
        connection, select(_address), wanted, lambda rows: [_address_view(row) for row in rows]
    )


def customers(connection: Connection, ids: Sequence[CustomerId] | None = None) -> list[CustomerView]:
    """These customers, or all, by number."""
    statement = _customers()
    if ids is not None:
        statement = statement.where(_customer.c.customer_id.in_(ids))
    return [_customer_view(row) for row in connection.execute(statement.order_by(_customer.c.number))]


def customer_rows(connection: Connection, wanted: Wanted) -> Rows[CustomerFile]:
    """A page of the customers, each with her party and accounts."""
    return _CUSTOMERS.rows(
        connection,
        _customers(),
        wanted,
        lambda rows: customer_files(connection, [_customer_view(row) for row in rows]),
    )


def customer_files(connection: Connection, views: Sequence[CustomerView]) -> list[CustomerFile]:
    """These customers, each with her party and accounts."""
    found = parties(connection, [view.party_id for view in views])
    held: dict[CustomerId, list[AccountView]] = {}
    owners = _account.c.customer_id.in_([view.id for view in views])
    for row in connection.execute(select(_account).where(owners).order_by(_account.c.number)):
        held.setdefault(CustomerId(row.customer_id), []).append(_account_view(row))
    return [
        CustomerFile(view, *found[view.party_id], accounts=tuple(held.get(view.id, ()))) for view in views
    ]


def customer_by(
    connection: Connection, *, number: str | None = None, external_id: str | None = None
) -> CustomerView | None:
    condition = _customer.c.number == number if number is not None else _customer.c.external_id == external_id
    row = connection.execute(_customers().where(condition)).one_or_none()
    return None if row is None else _customer_view(row)


def search_customers(
    connection: Connection, *, words: Sequence[str], phone_end: str | None, mail: str, limit: int
) -> list[CustomerView]:
    """By word beginnings of the name, the end of a phone number (digits), or a mail address; each by its own
    index."""
    ways = [
        select(_contact.c.party_id).where(
            _contact.c.kind == "email", func.lower(_contact.c.value) == mail.lower()
        )
    ]
    if words:
        wanted = " & ".join(f"'{word}':*" for word in words)
        named = func.to_tsvector(text("'simple'::regconfig"), _party.c.name)
        ways.append(
            select(_party.c.party_id).where(
                named.bool_op("@@")(func.to_tsquery(text("'simple'::regconfig"), wanted))
            )
        )
    if phone_end is not None:
        digits = func.reverse(func.regexp_replace(_contact.c.value, "[^0-9]", "", "g"))
        ways.append(
            select(_contact.c.party_id).where(_contact.c.kind == "phone", digits.like(f"{phone_end[::-1]}%"))
        )
    found = union(*(way.limit(limit) for way in ways)).subquery()
    statement = _customers().where(_customer.c.party_id.in_(select(found.c.party_id)))
    return [
        _customer_view(row)
        for row in connection.execute(statement.order_by(_party.c.name, _customer.c.number).limit(limit))
    ]


def recipient(connection: Connection, customer_id: CustomerId) -> Recipient | None:
    """What was kept of an erased customer for her documents."""
    table = tables.document_recipient
    row = connection.execute(select(table).where(table.c.customer_id == customer_id)).one_or_none()
    if row is None:
        return None
    return Recipient(
        name=row.name, street=row.street, postcode=row.postcode, city=row.city, country=row.country
    )


def is_erased(connection: Connection, party_id: UUID) -> bool:
    """Whether the person used her right to erasure."""
    return bool(connection.scalar(select(_party.c.erased_at).where(_party.c.party_id == party_id)))


def parties_with_mail(connection: Connection, address: str) -> list[UUID]:
    """Parties with this mail address, whatever the case of its letters."""
    same = (_contact.c.kind == "email") & (func.lower(_contact.c.value) == address.lower())
    return list(connection.scalars(select(_contact.c.party_id).where(same).order_by(_contact.c.party_id)))


def ids_of_party(connection: Connection, party_id: UUID) -> PartyIds:
    """Every id that leads to this party."""
    customer = select(_customer.c.customer_id).where(_customer.c.party_id == party_id)
    external = select(_customer.c.external_id).where(
        _customer.c.party_id == party_id, _customer.c.external_id.is_not(None)
    )
    account = select(_account.c.account_id).where(_account.c.customer_id.in_(customer))
    place = select(_address.c.address_id).where(_address.c.party_id == party_id)
    told = select(_message.c.key).where(_message.c.customer_id.in_(customer))
    return PartyIds(
        customers=tuple(connection.scalars(customer)),
        accounts=tuple(connection.scalars(account)),
        addresses=tuple(connection.scalars(place)),
        externals=tuple(connection.scalars(external)),
        messages=tuple(connection.scalars(told)),
    )


def party_of_customer(connection: Connection, customer_id: UUID) -> UUID | None:
    found: UUID | None = connection.scalar(
        select(_customer.c.party_id).where(_customer.c.customer_id == customer_id)
    )
    return found


def content_hash(connection: Connection, customer_id: CustomerId) -> str | None:
    found: str | None = connection.scalar(
        select(_customer.c.content_hash).where(_customer.c.customer_id == customer_id)
    )
    return found


_ACCOUNTS = Listing(
    {"id": _account.c.account_id, "number": _account.c.number, "customer": _account.c.customer_id},
    identity="id",
    sortable=["number"],
)


def account_rows(connection: Connection, wanted: Wanted) -> Rows[AccountView]:
    """A page of the billing accounts."""
    return _ACCOUNTS.rows(
        connection, select(_account), wanted, lambda rows: [_account_view(row) for row in rows]
    )


def accounts(
    connection: Connection,
    *,
    account_id: AccountId | None = None,
    number: str | None = None,
    customer_id: CustomerId | None = None,
) -> list[AccountView]:
    """Accounts that fit all that is given, by number."""
    statement = select(_account).order_by(_account.c.number)
    if account_id is not None:
        statement = statement.where(_account.c.account_id == account_id)
    if number is not None:
        statement = statement.where(_account.c.number == number)
    if customer_id is not None:
        statement = statement.where(_account.c.customer_id == customer_id)
    return [_account_view(row) for row in connection.execute(statement)]


def add_message(connection: Connection, row: Mapping[str, object]) -> bool:
    """False when this key was used before."""
    statement = upsert(_message).values(dict(row)).on_conflict_do_nothing().returning(_message.c.key)
    return connection.scalar(statement) is not None


def message(connection: Connection, key: str) -> MessageView | None:
    row = connection.execute(select(_message).where(_message.c.key == key)).one_or_none()
    return None if row is None else _message_view(row)


def messages(connection: Connection, customer_id: CustomerId) -> list[MessageView]:
    rows = connection.execute(
        select(_message).where(_message.c.customer_id == customer_id).order_by(_message.c.n)
    )
    return [_message_view(row) for row in rows]


def queued_messages(connection: Connection) -> list[str]:
    queued = select(_message.c.key).where(_message.c.state == MessageState.QUEUED).order_by(_message.c.n)
    return list(connection.scalars(queued))


def finish_message(
    connection: Connection, key: str, state: MessageState, attempts: int, error: str | None, at: datetime
) -> None:
    """Only a queued message changes."""
    connection.execute(
        update(_message)
        .where(_message.c.key == key, _message.c.state == MessageState.QUEUED)
        .values(state=state, attempts=attempts, error=error, finished_at=at)
    )


def _customers() -> Select[Any]:
    email, phone = (_contact_of_customer(kind).label(kind) for kind in ("email", "phone"))
    address = (
        select(_address.c.address_id)
        .where(_address.c.party_id == _customer.c.party_id)
        .order_by(_address.c.created_at.desc(), _address.c.address_id.desc())
        .limit(1)
        .scalar_subquery()
        .label("address_id")
    )
    return select(_customer, _party.c.name, _party.c.kind, _party.c.language, email, phone, address).join(
        _party, _party.c.party_id == _customer.c.party_id
    )


def _contact_of_customer(kind: str) -> ScalarSelect[Any]:
    return (
        select(_contact.c.value)
        .where(_contact.c.party_id == _customer.c.party_id, _contact.c.kind == kind)
        .scalar_subquery()
    )


_CUSTOMERS = Listing(
    {
        "id": _customer.c.customer_id,
        "number": _customer.c.number,
        "name": _party.c.name,
        "status": _customer.c.status,
        "party": _customer.c.party_id,
        "email": _contact_of_customer("email"),
        "phone": _contact_of_customer("phone"),
    },
    identity="id",
    sortable=["number", "name"],
)


def _customer_view(row: Row[Any]) -> CustomerView:
    return CustomerView(
        id=CustomerId(row.customer_id),
        number=row.number,
        party_id=PartyId(row.party_id),
        name=row.name,
        kind=row.kind,
        email=row.email,
        phone=row.phone,
        language=row.language,
        status=row.status,
        legal_entity_id=LegalEntityId(row.legal_entity_id),
        brand_id=BrandId(row.brand_id),
        address_id=None if row.address_id is None else AddressId(row.address_id),
    )


def _account_view(row: Row[Any]) -> AccountView:
    return AccountView(
        id=AccountId(row.account_id),
        number=row.number,
        customer_id=CustomerId(row.customer_id),
        currency=row.currency,
        time_zone=row.time_zone,
        bill_cycle_day=row.bill_cycle_day,
        tax_class=row.tax_class,
        dunning_policy=row.dunning_policy,
        legal_entity_id=LegalEntityId(row.legal_entity_id),
        brand_id=BrandId(row.brand_id),
    )


def _address_view(row: Row[Any]) -> AddressView:
    return AddressView(
        id=AddressId(row.address_id),
        street=row.street,
        postcode=row.postcode,
        city=row.city,
        country=row.country,
        latitude=row.latitude,
        longitude=row.longitude,
    )


def _as_new(view: AddressView) -> NewAddress:
    return NewAddress(
        street=view.street,
        postcode=view.postcode,
        city=view.city,
        country=view.country,
        latitude=view.latitude,
        longitude=view.longitude,
    )


def _message_view(row: Row[Any]) -> MessageView:
    return MessageView(
        key=row.key,
        customer_id=str(row.customer_id),
        template=row.template,
        to=row.recipient,
        subject=row.subject,
        body=row.body,
        state=MessageState(row.state),
        attempts=row.attempts,
        error=row.error,
    )

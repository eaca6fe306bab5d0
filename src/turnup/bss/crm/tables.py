"""Tables of crm: the only ones that hold names, addresses, telephone numbers and mail."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from turnup.bss.crm.model import DEFAULT_BRAND, DEFAULT_LEGAL_ENTITY

metadata = MetaData(schema="crm")

customer_number = Sequence("customer_number", start=100_001, metadata=metadata)
account_number = Sequence("account_number", start=100_001, metadata=metadata)

legal_entity = Table(
    "legal_entity",
    metadata,
    Column("legal_entity_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
)

brand = Table(
    "brand",
    metadata,
    Column("brand_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
)

party = Table(
    "party",
    metadata,
    Column("party_id", UUID(as_uuid=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("given_name", Text),
    Column("family_name", Text),
    Column("language", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("erased_at", DateTime(timezone=True)),
    CheckConstraint("kind IN ('individual', 'organization')", name="party_kind"),
    Index("party_name_words", text("to_tsvector('simple'::regconfig, name)"), postgresql_using="gin"),
)

contact = Table(
    "contact",
    metadata,
    Column("party_id", ForeignKey(party.c.party_id), nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    UniqueConstraint("party_id", "kind"),
    CheckConstraint("kind IN ('email', 'phone')", name="contact_kind"),
    Index("contact_email", text("lower(value)"), postgresql_where=text("kind = 'email'")),
    # backwards: people leave country and trunk codes out at the beginning
    Index(
        "contact_phone_backwards",
        text("reverse(regexp_replace(value, '[^0-9]', '', 'g')) text_pattern_ops"),
        postgresql_where=text("kind = 'phone'"),
    ),
)

address = Table(
    "address",
    metadata,
    Column("address_id", UUID(as_uuid=True), primary_key=True),
    Column("party_id", ForeignKey(party.c.party_id), nullable=False),
    Column("street", Text, nullable=False),
    Column("postcode", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("latitude", Numeric(9, 6)),
    Column("longitude", Numeric(9, 6)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("address_party", "party_id"),
)
"""Rows never change, but for an erasure: a service keeps pointing at the address it was built for."""

customer = Table(
    "customer",
    metadata,
    Column("customer_id", UUID(as_uuid=True), primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("party_id", ForeignKey(party.c.party_id), nullable=False),
    Column("status", Text, nullable=False),
    Column("legal_entity_id", ForeignKey(legal_entity.c.legal_entity_id), nullable=False),
    Column("brand_id", ForeignKey(brand.c.brand_id), nullable=False),
    Column("external_id", Text, unique=True),
    Column("content_hash", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("customer_party", "party_id"),
)

account = Table(
    "account",
    metadata,
    Column("account_id", UUID(as_uuid=True), primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("customer_id", ForeignKey(customer.c.customer_id), nullable=False),
    Column("currency", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("bill_cycle_day", Integer, nullable=False),
    Column("tax_class", Text, nullable=False),
    Column("dunning_policy", Text, nullable=False),
    Column("legal_entity_id", ForeignKey(legal_entity.c.legal_entity_id), nullable=False),
    Column("brand_id", ForeignKey(brand.c.brand_id), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("account_customer", "customer_id"),
)

payment_method = Table(
    "payment_method",
    metadata,
    Column("account_id", ForeignKey(account.c.account_id), nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("provider", Text),
    Column("signed_on", Date),
    Column("sealed", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("account_id", "kind", "reference"),
    CheckConstraint("kind IN ('direct_debit', 'token')", name="payment_method_kind"),
)
"""Mandates and tokens. `sealed`: the IBAN or the token; `hint`: its last four characters."""

message = Table(
    "message",
    metadata,
    Column("key", Text, primary_key=True),
    Column("n", BigInteger, Identity(always=True), nullable=False),
    Column("customer_id", ForeignKey(customer.c.customer_id), nullable=False),
    Column("template", Text, nullable=False),
    Column("recipient", Text),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Index("message_customer", "customer_id", "n"),
    CheckConstraint("state IN ('queued', 'sent', 'failed')", name="message_state"),
)

document_recipient = Table(
    "document_recipient",
    metadata,
    Column("customer_id", ForeignKey(customer.c.customer_id), primary_key=True),
    Column("name", Text, nullable=False),
    Column("street", Text, nullable=False),
    Column("postcode", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("keep_until", Date, nullable=False),
)
"""To whom the documents of an erased customer were addressed, as long as tax law wants them to say so."""

DDL = (
    f"INSERT INTO crm.legal_entity (legal_entity_id, code, name)"
    f" VALUES ('{DEFAULT_LEGAL_ENTITY}', 'default', 'Default legal entity') ON CONFLICT DO NOTHING",
    f"INSERT INTO crm.brand (brand_id, code, name)"
    f" VALUES ('{DEFAULT_BRAND}', 'default', 'Default brand') ON CONFLICT DO NOTHING",
)
"""Every account belongs to a legal entity and a brand; a small ISP never has to name its only one."""

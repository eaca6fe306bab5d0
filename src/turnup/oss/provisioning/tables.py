"""Tables of provisioning: one row per service, with its design and its facts; the brake and what it holds."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(schema="provisioning")

service_number = Sequence("service_number", start=100_001, metadata=metadata)

service = Table(
    "service",
    metadata,
    Column("service_id", UUID(as_uuid=True), primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("product_id", UUID(as_uuid=True), nullable=False),
    Column("customer_id", UUID(as_uuid=True), nullable=False),
    Column("account_id", UUID(as_uuid=True), nullable=False),
    Column("address_id", UUID(as_uuid=True)),
    Column("spec", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("management", Text, nullable=False),
    Column("admission", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("verified_generation", BigInteger, nullable=False),
    Column("characteristics", JSONB, nullable=False),
    Column("resources", JSONB, nullable=False),
    Column("elements", JSONB, nullable=False),
    Column("login", Text, nullable=False, unique=True),
    Column("secret_sealed", Text, nullable=False),
    Column("reason", Text),
    Column("configured_at", DateTime(timezone=True)),
    Column("first_online_at", DateTime(timezone=True)),
    Column("accepted_at", DateTime(timezone=True)),
    Column("configuration_present", Boolean),
    Column("configuration_read_at", DateTime(timezone=True)),
    Column("online", Boolean),
    Column("online_changed_at", DateTime(timezone=True)),
    Column("traffic_seen_at", DateTime(timezone=True)),
    Column("speed_down_kbps", Integer),
    Column("speed_up_kbps", Integer),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("service_account", "account_id"),
    Index("service_product", "product_id"),
    Index("service_unproved", "service_id", postgresql_where=text("generation <> verified_generation")),
)

brake = Table(
    "brake",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("latest_at", DateTime(timezone=True)),
)
"""One row per scope (today only `all`): its lock makes automatic changes wait for each other; `latest_at` is
when the last of them counted."""

brake_pass = Table(
    "brake_pass",
    metadata,
    Column("request", Text, nullable=False),
    Column("service_id", UUID(as_uuid=True), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("released", Boolean, nullable=False),
    PrimaryKeyConstraint("request", "service_id"),
    Index("brake_pass_at", "at", postgresql_where=text("NOT released")),
)
"""Automatic changes that went through; what a person released does not count against the hour."""

brake_hold = Table(
    "brake_hold",
    metadata,
    Column("hold_id", UUID(as_uuid=True), primary_key=True),
    Column("n", BigInteger, Identity(always=True), nullable=False),
    Column("request", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("services", JSONB, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("held_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("decision_reason", Text),
    Index("brake_hold_waiting", "n", postgresql_where=text("state = 'held'")),
)
"""`facts`: what provisioning needs to go on by itself once it is released (a repair's service, a serial)."""

waiting = Table(
    "waiting",
    metadata,
    Column("service_id", UUID(as_uuid=True), primary_key=True),
    Column("since", DateTime(timezone=True), nullable=False),
)
"""Services whose desired state waits for a freeze to be lifted; orders wait by themselves."""

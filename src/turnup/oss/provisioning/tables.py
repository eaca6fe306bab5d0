"""Tables of provisioning: one row per service, with its design and its facts."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
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

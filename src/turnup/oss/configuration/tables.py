"""Tables of configuration: intents, element state (lease, last change), credentials, backups, freezes."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(schema="configuration")

intent = Table(
    "intent",
    metadata,
    Column("element_id", UUID(as_uuid=True), nullable=False),
    Column("service_id", UUID(as_uuid=True), nullable=False),
    Column("kind", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("attributes", JSONB(none_as_null=True)),
    PrimaryKeyConstraint("element_id", "service_id"),
    Index("intent_service", "service_id"),
)
"""`attributes` NULL: the element should hold nothing for this service, since `generation`."""

element_state = Table(
    "element_state",
    metadata,
    Column("element_id", UUID(as_uuid=True), primary_key=True),
    Column("holder", Text),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True)),
    Column("backed_up_at", DateTime(timezone=True)),
)
"""The element's lock: it outlives a transaction because the network is spoken to outside of one."""

credential = Table(
    "credential",
    metadata,
    Column("element_id", UUID(as_uuid=True), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)

backup = Table(
    "backup",
    metadata,
    Column("element_id", UUID(as_uuid=True), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("sha256", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("element_id", "revision"),
)

freeze = Table(
    "freeze",
    metadata,
    Column("freeze_id", UUID(as_uuid=True), primary_key=True),
    Column("scope", Text, nullable=False),
    Column("target_id", UUID(as_uuid=True)),
    Column("code", Text),
    Column("reason", Text, nullable=False),
    Column("frozen_by", Text, nullable=False),
    Column("frozen_at", DateTime(timezone=True), nullable=False),
    Column("lifted_by", Text),
    Column("lifted_at", DateTime(timezone=True)),
    Column("lift_reason", Text),
    Index(
        "freeze_active",
        "scope",
        text("coalesce(target_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
        unique=True,
        postgresql_where=text("lifted_at IS NULL"),
    ),
)
"""`target_id`: the element's or the site's id; NULL with scope `all`."""

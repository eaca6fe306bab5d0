"""Tables of the catalog: versions only, each from one instant to the next version's."""

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(schema="catalog")

offering = Table(
    "offering",
    metadata,
    Column("offering_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("valid_from", DateTime(timezone=True), nullable=False),
    Column("valid_to", DateTime(timezone=True)),
    Column("document", JSONB, nullable=False),
    Column("author", Text, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("code", "version"),
)
"""`document` never changes; `valid_to` is set once, by the next version."""

price = Table(
    "price",
    metadata,
    Column("price_id", UUID(as_uuid=True), primary_key=True),
    Column("offering_id", ForeignKey(offering.c.offering_id), nullable=False),
    Index("price_offering", "offering_id"),
)
"""Which version a price belongs to; what it is stands in the version's document."""

policy = Table(
    "policy",
    metadata,
    Column("kind", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("valid_from", DateTime(timezone=True), nullable=False),
    Column("valid_to", DateTime(timezone=True)),
    Column("document", JSONB, nullable=False),
    Column("author", Text, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("kind", "code", "version"),
)

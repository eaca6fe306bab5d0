"""Tables of inventory. `slot` (addresses) and `line` (subscriber positions on ports) are what services hold:
one row each, taken with SKIP LOCKED, so that allocation is race-free without a queue at the pool."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(schema="inventory")

site = Table(
    "site",
    metadata,
    Column("site_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("latitude", Numeric(9, 6)),
    Column("longitude", Numeric(9, 6)),
    Column("reach_km", Numeric(8, 3), nullable=False),
)

element = Table(
    "element",
    metadata,
    Column("element_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("site_id", ForeignKey(site.c.site_id), nullable=False),
    Column("driver", Text, nullable=False),
    Column("management", JSONB, nullable=False),
    Column("status", Text, nullable=False),
)

port = Table(
    "port",
    metadata,
    Column("port_id", UUID(as_uuid=True), primary_key=True),
    Column("element_id", ForeignKey(element.c.element_id), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("first_vlan", Integer, nullable=False),
    UniqueConstraint("element_id", "name"),
)

link = Table(
    "link",
    metadata,
    Column("link_id", UUID(as_uuid=True), primary_key=True),
    Column("a_port_id", ForeignKey(port.c.port_id), nullable=False),
    Column("b_port_id", ForeignKey(port.c.port_id), nullable=False),
)

line = Table(
    "line",
    metadata,
    Column("port_id", ForeignKey(port.c.port_id), nullable=False),
    Column("n", Integer, nullable=False),
    Column("vlan", Integer, nullable=False),
    Column("service_id", UUID(as_uuid=True), unique=True),
    PrimaryKeyConstraint("port_id", "n"),
    UniqueConstraint("port_id", "vlan"),
    Index("line_free", "n", "port_id", postgresql_where=text("service_id IS NULL")),
)

pool = Table(
    "pool",
    metadata,
    Column("pool_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("prefixes", JSONB, nullable=False),
    Column("prefix_length", Integer, nullable=False),
    Column("reserved", JSONB, nullable=False),
    Column("materialised", BigInteger, nullable=False, server_default=text("0")),
)
"""`materialised`: how many positions of the pool have become slots."""

slot = Table(
    "slot",
    metadata,
    Column("pool_id", ForeignKey(pool.c.pool_id), nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("service_id", UUID(as_uuid=True)),
    PrimaryKeyConstraint("pool_id", "n"),
    UniqueConstraint("value"),
    UniqueConstraint("pool_id", "service_id"),
    Index("slot_free", "pool_id", "n", postgresql_where=text("service_id IS NULL")),
    Index("slot_service", "service_id", postgresql_where=text("service_id IS NOT NULL")),
)

holding = Table(
    "holding",
    metadata,
    Column("service_id", UUID(as_uuid=True), primary_key=True),
    Column("status", Text, nullable=False),
    Column("access_element_id", UUID(as_uuid=True)),
    Column("bng_element_id", UUID(as_uuid=True)),
    # key (inventory.role_of) -> element, of the servers that are no part of the line: dhcp, aaa, aaa:aaa2
    Column("servers", JSONB, nullable=False),
    Column("circuit_id", Text),
    Column("ont_serial", Text),
    Column("resources", JSONB, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("holding_access", "access_element_id"),
    Index("holding_bng", "bng_element_id"),
    Index(
        "holding_circuit",
        "circuit_id",
        unique=True,
        postgresql_where=text("circuit_id IS NOT NULL AND status <> 'released'"),
    ),
    Index(
        "holding_ont",
        "ont_serial",
        unique=True,
        postgresql_where=text("ont_serial IS NOT NULL AND status <> 'released'"),
    ),
)
"""What one service holds, as its readers want it; `slot` and `line` make it exclusive."""

"""Tables of monitoring. `octets` is packed: one row per port and hour, its samples in arrays."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

metadata = MetaData(schema="monitoring")

_OPEN = text("cleared_at IS NULL")

cursor = Table(
    "accounting_cursor",
    metadata,
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("heard_until", DateTime(timezone=True), nullable=False),
)
"""Of each AAA server. `position`: source id of the last record taken in; `heard_until`: when its accounting
was last read to the end."""

session = Table(
    "session",
    metadata,
    Column("nas", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("service_id", UUID(as_uuid=True)),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    Column("heard_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("cause", Text),
    Column("dead_by", DateTime(timezone=True)),
    Column("upload", BigInteger, nullable=False),
    Column("download", BigInteger, nullable=False),
    Column("framed_ipv4", Text),
    Column("circuit_id", Text),
    Column("told_start", Boolean, nullable=False),
    Column("told_end", Boolean, nullable=False),
    Column("told_upload", BigInteger, nullable=False),
    Column("told_download", BigInteger, nullable=False),
    Column("told_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("nas", "session_id"),
    Index("session_service", "service_id", "started_at"),
    Index("session_live_user", "username", postgresql_where=text("ended_at IS NULL")),
    Index("session_live_nas", "nas", postgresql_where=text("ended_at IS NULL")),
    Index("session_live_address", "framed_ipv4", postgresql_where=text("ended_at IS NULL")),
    Index("session_nobody", "username", postgresql_where=text("service_id IS NULL")),
)

health = Table(
    "health",
    metadata,
    Column("element_id", UUID(as_uuid=True), primary_key=True),
    Column("reachable", Boolean),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("checked_at", DateTime(timezone=True), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failed_since", DateTime(timezone=True)),
    Column("round_trip_ms", Float),
    Column("uptime_s", Float),
)

port_state = Table(
    "port_state",
    metadata,
    Column("element_id", UUID(as_uuid=True), nullable=False),
    Column("port", Text, nullable=False),
    Column("up", Boolean, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("was_up", Boolean, nullable=False),
    PrimaryKeyConstraint("element_id", "port"),
)

alarm = Table(
    "alarm",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("element_id", UUID(as_uuid=True), nullable=False),
    Column("port", Text),
    Column("kind", Text, nullable=False),
    Column("raised_at", DateTime(timezone=True), nullable=False),
    Column("cleared_at", DateTime(timezone=True)),
    Column("occurrences", Integer, nullable=False),
    Column("cause_id", UUID(as_uuid=True)),
    Index(
        "alarm_one_a_condition",
        "element_id",
        text("coalesce(port, '')"),
        "kind",
        unique=True,
        postgresql_where=_OPEN,
    ),
    Index("alarm_raised", "raised_at"),
)

problem = Table(
    "problem",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("alarm_id", ForeignKey(alarm.c.id), nullable=False),
    Column("cause", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("cleared_at", DateTime(timezone=True)),
    Index("problem_open", "opened_at", postgresql_where=_OPEN),
)

outage = Table(
    "outage",
    metadata,
    Column("service_id", UUID(as_uuid=True), nullable=False),
    Column("problem_id", ForeignKey(problem.c.id), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("service_id", "problem_id", "started_at"),
    Index("outage_one_at_a_time", "service_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("outage_problem", "problem_id"),
)

octets = Table(
    "octets",
    metadata,
    Column("element_id", UUID(as_uuid=True), nullable=False),
    Column("port", Text, nullable=False),
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("offsets_s", ARRAY(SmallInteger), nullable=False),
    Column("received", ARRAY(BigInteger), nullable=False),
    Column("sent", ARRAY(BigInteger), nullable=False),
    PrimaryKeyConstraint("element_id", "port", "hour"),
)

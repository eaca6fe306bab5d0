"""Tables of reconciliation: every finding there ever was; at most one open per kind, service and element."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import UUID

metadata = MetaData(schema="reconciliation")

finding = Table(
    "finding",
    metadata,
    Column("finding_id", UUID(as_uuid=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("service_id", UUID(as_uuid=True), nullable=False),
    Column("element", Text, nullable=False),
    Column("service_number", Text),
    Column("detail", Text, nullable=False),
    Column("monthly_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("repair", Text, nullable=False),
    Column("safe", Boolean, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("repaired_at", DateTime(timezone=True)),
    Column("repaired_by", Text),
    Column("dismissed_at", DateTime(timezone=True)),
    Column("dismissed_by", Text),
    Column("dismissed_reason", Text),
    Index(
        "finding_open",
        "kind",
        "service_id",
        "element",
        unique=True,
        postgresql_where=text("repaired_at IS NULL"),
    ),
    Index("finding_found", "found_at"),
    comment="a dismissed finding stays, silent, until its mismatch is gone; then it may be found anew",
)

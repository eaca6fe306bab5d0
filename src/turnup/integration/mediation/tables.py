"""Tables of mediation: the crosswalk, what was applied, what waits in quarantine, which quotes rows."""

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import UUID

metadata = MetaData(schema="mediation")

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("system", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("internal_id", UUID(as_uuid=True), nullable=False),
    PrimaryKeyConstraint("system", "kind", "external_id"),
    Index("crosswalk_internal", "kind", "internal_id"),
)

applied = Table(
    "applied",
    metadata,
    Column("system", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("row_hash", Text, nullable=False),
    Column("applied_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("system", "kind", "external_id"),
)
"""Written last: a record that is here was applied completely."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("source", Text, nullable=False),
    Column("row", Integer, nullable=False),
    Column("field", Text),
    Column("reason", Text, nullable=False),
    Column("remedy", Text),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("system", Text),
    Column("external_id", Text),
    PrimaryKeyConstraint("source", "row"),
)

"""Tables of mediation: the crosswalk, what was applied, what waits in quarantine, connectors and their files.

Only `raw_row.raw` may hold personal data, and `quarantine` where its reason quotes a row: a row as it came,
kept while it waits for a person and emptied once it is applied or discarded. `raw_row.owner` says whose it
is, where that is known.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID

from turnup.integration.mediation.model import FileState, Mode, RowState

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

taken_over = Table(
    "taken_over",
    metadata,
    Column("service_id", UUID(as_uuid=True), primary_key=True),
    Column("system", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("monthly_net_minor", BigInteger),
    Column("at", DateTime(timezone=True), nullable=False),
)
"""Running services that came from a former system, and what it charged for them per month."""

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


def _among(column: str, kinds: type[FileState] | type[Mode] | type[RowState]) -> str:
    return f"{column} IN ({', '.join(repr(each.value) for each in kinds)})"


connector = Table(
    "connector",
    metadata,
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    Column("imported_at", DateTime(timezone=True), nullable=False),
    Column("imported_by", Text, nullable=False),
    PrimaryKeyConstraint("name", "version"),
)
"""Every version of every connector's document; the highest is in force. Rows never change."""

connector_state = Table(
    "connector_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_at", DateTime(timezone=True)),
    Column("claimed_by", Text),
    Column("claimed_until", DateTime(timezone=True)),
    Column("last_run_at", DateTime(timezone=True)),
    Column("last_error", Text),
    Column("sealed_credentials", LargeBinary),
    Column("fact_position", BigInteger, nullable=False),
    Column("file_number", Integer, nullable=False),
)
"""How a connector stands. `fact_position` and `file_number` move in the transaction that makes a file."""

seen_file = Table(
    "seen_file",
    metadata,
    Column("connector", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("connector", "name"),
)
"""Files of earlier polls that are not complete yet."""

taken_file = Table(
    "taken_file",
    metadata,
    Column("file_id", UUID(as_uuid=True), primary_key=True),
    Column("connector", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("rows_read", Integer, nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("acknowledged_at", DateTime(timezone=True)),
    Column("filed_at", DateTime(timezone=True)),
    ForeignKeyConstraint(["connector", "version"], [connector.c.name, connector.c.version]),
    UniqueConstraint("connector", "name", "sha256", "mode"),
    Index("taken_file_time", "connector", "taken_at"),
    CheckConstraint(_among("state", FileState), name="taken_file_state"),
    CheckConstraint(_among("mode", Mode), name="taken_file_mode"),
)

raw_row = Table(
    "raw_row",
    metadata,
    Column("row_id", BigInteger, Identity(), primary_key=True),
    Column("file_id", ForeignKey(taken_file.c.file_id), nullable=False),
    Column("n", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("raw", JSON(none_as_null=True)),
    Column("broken", Text),
    Column("owner", UUID(as_uuid=True)),
    Column("key", Text),
    Column("field", Text),
    Column("reason", Text),
    Column("remedy", Text),
    Column("difference", Text),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("file_id", "n"),
    Index("raw_row_owner", "owner"),
    Index("raw_row_state", "state", "row_id"),
    CheckConstraint(_among("state", RowState), name="raw_row_state"),
)
"""`raw` is JSON, not JSONB: the order of their columns is kept. `owner`: the customer a row is about, once
known. `difference`: names of fields, never their values."""

fact = Table(
    "fact",
    metadata,
    Column("position", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("kind", "key"),
)
"""What goes out. Writers wait for each other (store.outgoing.add_facts): positions are in the order of their
commits. Ids and numbers, no personal data."""

made_file = Table(
    "made_file",
    metadata,
    Column("connector", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("control_sum", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("sent_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("connector", "number"),
    CheckConstraint(_among("mode", Mode), name="made_file_mode"),
)

"""Tables of the runtime itself, schema `runtime`: event log, consumers, workers, leases, audit, idempotency.

They know no business. Only the runtime writes them, as the connecting role: component roles have no
rights here, a unit of work flushes its events after it has dropped the component's role.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(schema="runtime")

event = Table(
    "event",
    metadata,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    Column("position", BigInteger, nullable=True),
    Column("type", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("aggregate_id", UUID(as_uuid=True), nullable=False),
    Column("aggregate_version", BigInteger, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("traceparent", Text, nullable=True),
    UniqueConstraint("aggregate_id", "aggregate_version", name="event_aggregate_version"),
    Index("event_position", "position", unique=True, postgresql_where=text("position IS NOT NULL")),
    Index("event_unsequenced", "event_id", postgresql_where=text("position IS NULL")),
)
"""`position` is given by the sequencer after commit; consumers read by it, never by event_id."""

aggregate = Table(
    "aggregate",
    metadata,
    Column("aggregate_id", UUID(as_uuid=True), primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""The row lock under which an aggregate's next event version is taken."""

sequencer = Table(
    "sequencer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("last_position", BigInteger, nullable=False),
)
"""One row; its lock makes one sequencer."""

consumer = Table(
    "consumer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

parked = Table(
    "parked",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("aggregate_id", UUID(as_uuid=True), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("consumer", "aggregate_id", "position"),
)
"""Events a consumer could not handle, and all later ones of the same aggregate, waiting behind it."""

worker = Table(
    "worker",
    metadata,
    Column("worker_id", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("heartbeat_at", DateTime(timezone=True), nullable=False),
    Column("taken_over_by", Text, nullable=True),
    Column("stopped_at", DateTime(timezone=True), nullable=True),
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("component", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB, nullable=True),
    Column("after", JSONB, nullable=True),
    Index("audit_subject", "subject"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("scopes", JSONB, nullable=False),
    Column("legal_entity_id", UUID(as_uuid=True), comment="null: every legal entity"),
    Column("brand_id", UUID(as_uuid=True), comment="null: every brand"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=True),
    Column("revoked", Boolean, nullable=False, server_default=text("false")),
    Column("owner", Text, nullable=True, comment="the staff member it belongs to; null: nobody's"),
    Index("api_token_name", "name", unique=True, postgresql_where=text("not revoked")),
)

staff = Table(
    "staff",
    metadata,
    Column("name", Text, primary_key=True, comment="never given twice: it stands in the audit"),
    Column("roles", JSONB, nullable=False),
    Column("password_hash", Text, nullable=True, comment="argon2id; null: no login by password"),
    Column("oidc_identity", Text, nullable=True, unique=True),
    Column("oidc_subject", Text, nullable=True, comment="the provider's `sub`, from the first login on"),
    Column("legal_entity_id", UUID(as_uuid=True), comment="null: every legal entity"),
    Column("brand_id", UUID(as_uuid=True), comment="null: every brand"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_login_at", DateTime(timezone=True), nullable=True),
    Column("disabled_at", DateTime(timezone=True), nullable=True),
)

staff_session = Table(
    "staff_session",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("way", Text, nullable=False, comment="password | oidc"),
    Column("address", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True), nullable=True),
    Index("staff_session_name", "name"),
)

login_attempt = Table(
    "login_attempt",
    metadata,
    Column("key", Text, primary_key=True, comment="name:… or address:…"),
    Column("failures", Integer, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("locked_until", DateTime(timezone=True), nullable=False),
)

oidc_login = Table(
    "oidc_login",
    metadata,
    Column("state_hash", Text, primary_key=True),
    Column("nonce", Text, nullable=False),
    Column("verifier", Text, nullable=False, comment="PKCE (RFC 7636)"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
"""Logins under way at the OpenID provider; each row is taken out by the answer."""

approval = Table(
    "approval",
    metadata,
    Column("approval_id", UUID(as_uuid=True), primary_key=True),
    Column("action", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("asked_by", Text, nullable=False, comment="the person"),
    Column("actor", Text, nullable=False, comment="how she asked; the actor of what is executed"),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text, nullable=True),
    Column("decided_at", DateTime(timezone=True), nullable=True),
    Column("reason", Text, nullable=True),
    Column("result", JSONB, nullable=True),
    Index("approval_waiting", "asked_at", postgresql_where=text("state = 'waiting'")),
)
"""Requests that need four eyes, and what became of them."""

rate_window = Table(
    "rate_window",
    metadata,
    Column("key", Text, primary_key=True),
    Column("hits", BigInteger, nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    prefixes=["UNLOGGED"],
)
"""Requests counted; lost in a crash, which only forgets who was too fast."""

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("offset_s", Float, nullable=False),
)
"""One row, used only with the setting `simulated_clock`: how far Turnup's time is ahead of the machine's."""

restored = Table(
    "restored",
    metadata,
    Column("restored_id", UUID(as_uuid=True), primary_key=True),
    Column("target_at", DateTime(timezone=True), comment="null: all there was"),
    Column("reached_at", DateTime(timezone=True), comment="of the last transaction the books hold"),
    Column("restored_at", DateTime(timezone=True), nullable=False),
    Column("restored_by", Text, nullable=False),
    Column("backup", Text, nullable=False),
    Column("replaced", Text, comment="name of the data put aside; null where Turnup did not put it there"),
    Column("freeze_id", UUID(as_uuid=True), nullable=False),
    Column("lost", JSONB, nullable=False),
    Column("released_at", DateTime(timezone=True)),
    Column("released_by", Text),
    Column("release_reason", Text),
    Column("decisions", JSONB),
)
"""Every time the books went back. While the last row is not released, nothing runs and nothing is written."""

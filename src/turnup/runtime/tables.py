"""Tables of the runtime itself, schema `runtime`: event log, consumers, workers, leases, audit, idempotency.

They know no business. Only the runtime writes them, as the connecting role: component roles have no
rights here, a unit of work flushes its events after it has dropped the component's role.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

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
    Column("link", BigInteger, nullable=True, comment="null: not sealed yet"),
    Index("audit_subject", "subject"),
    Index("audit_at", "at"),
    Index("audit_sealed", "link", postgresql_where=text("link IS NOT NULL")),
    Index("audit_unsealed", "audit_id", postgresql_where=text("link IS NULL")),
)

audit_link = Table(
    "audit_link",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", LargeBinary, nullable=False),
    Column("sealed_at", DateTime(timezone=True), nullable=False),
    Column("audit_ids", ARRAY(BigInteger), nullable=False),
    Column("digests", LargeBinary, nullable=False, comment="SHA-256 of each, 32 bytes"),
    Column("hash", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)
"""The audit's hash chain (kernel.audit_chain), a batch of entries a link."""

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("entries", BigInteger, nullable=False),
)
"""The last link of each that retention took away."""

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

erasure = Table(
    "erasure",
    metadata,
    Column("erasure_id", UUID(as_uuid=True), primary_key=True),
    Column("party_id", UUID(as_uuid=True), nullable=False, unique=True),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("tried_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False, comment="asked | blocked | done"),
    Column("in_the_way", JSONB, nullable=False),
    Column("documents_until", Date),
    Column("changed", JSONB, nullable=False),
    Column("kept", JSONB, nullable=False),
    Column("done_at", DateTime(timezone=True)),
    Column("again", Boolean, nullable=False, server_default=text("false")),
)
"""The erasure register: ids only. `again`: applied once more because the books went back in time."""

purge = Table(
    "purge",
    metadata,
    Column("purge_id", Text, primary_key=True),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("actor", Text, nullable=False),
)

purged = Table(
    "purged",
    metadata,
    Column("purge_id", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("before", DateTime(timezone=True), nullable=False),
    Column("rows", BigInteger, nullable=False),
    PrimaryKeyConstraint("purge_id", "what"),
)
"""What a purge took away: counted in the transactions that deleted it."""

_GUARD_AUDIT = """
create or replace function runtime.guard_audit() returns trigger language plpgsql as $$
declare
  was jsonb; becomes jsonb; place bigint;
begin
  if tg_op = 'UPDATE' then
    was := to_jsonb(old);
    becomes := to_jsonb(new);
    if tg_table_name = 'audit' and was ->> 'link' is null and was - 'link' = becomes - 'link' then
      return new;
    end if;
    if tg_table_name <> 'audit' and was - 'mac' - 'key_id' = becomes - 'mac' - 'key_id' then
      return new;
    end if;
  elsif tg_op = 'DELETE' and tg_table_name <> 'audit_checkpoint' then
    was := to_jsonb(old);
    place := coalesce(was ->> 'link', was ->> 'n');
    if place <= (select max(n) from runtime.audit_checkpoint) then
      return old;
    end if;
  end if;
  raise exception using errcode = 'insufficient_privilege',
    message = 'the audit is insert-only; only age takes entries away, whole links at a time';
end $$
"""

DDL: tuple[str, ...] = (
    _GUARD_AUDIT,
    *(
        f"create or replace trigger {table}_guard before update or delete on runtime.{table}"
        " for each row execute function runtime.guard_audit()"
        for table in ("audit", "audit_link", "audit_checkpoint")
    ),
    *(
        f"create or replace trigger {table}_keep before truncate on runtime.{table}"
        " for each statement execute function runtime.guard_audit()"
        for table in ("audit", "audit_link", "audit_checkpoint")
    ),
)
"""Guards against slips and stolen component roles; the owner may drop them, and then the chain tells."""

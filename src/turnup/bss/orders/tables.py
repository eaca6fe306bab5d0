"""Tables of orders: orders with items, steps and tasks; products sold; the fall-out queue."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Sequence,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(schema="orders")

order_number = Sequence("order_number", start=100_001, metadata=metadata)

_OPEN = "state NOT IN ('rejected', 'cancelled', 'completed', 'failed', 'partial')"

product_order = Table(
    "product_order",
    metadata,
    Column("order_id", UUID(as_uuid=True), primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("customer_id", UUID(as_uuid=True), nullable=False),
    Column("account_id", UUID(as_uuid=True), nullable=False),
    Column("legal_entity_id", UUID(as_uuid=True), nullable=False),
    Column("brand_id", UUID(as_uuid=True), nullable=False),
    Column("address_id", UUID(as_uuid=True)),
    Column("site", Text),
    Column("requested_start", DateTime(timezone=True)),
    Column("external_id", Text),
    Column("idempotency_key", Text, unique=True),
    Column("content_hash", Text, nullable=False),
    Column("reason", Text),
    Column("origin", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("running", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("skipped", JSONB, nullable=False, server_default=text("'[]'")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("error", Text),
    Index("order_account", "account_id", "created_at"),
    Index("order_newest", "created_at", "order_id"),
    Index("order_open", "requested_start", postgresql_where=text(_OPEN)),
)
"""`running`: a workflow is at work on it; `attempt` names that workflow."""

cancellation = Table(
    "cancellation",
    metadata,
    Column("cancellation_id", UUID(as_uuid=True), primary_key=True),
    Column("order_id", ForeignKey(product_order.c.order_id), nullable=False, unique=True),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("cancellation_newest", "created_at", "cancellation_id"),
)
"""That somebody wants an order cancelled; what became of it is the order's state."""

item = Table(
    "item",
    metadata,
    Column("item_id", UUID(as_uuid=True), primary_key=True),
    Column("order_id", ForeignKey(product_order.c.order_id), nullable=False),
    Column("n", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("product_id", UUID(as_uuid=True), nullable=False),
    Column("service_id", UUID(as_uuid=True), nullable=False),
    Column("offering_id", UUID(as_uuid=True), nullable=False),
    Column("offering_code", Text, nullable=False),
    Column("characteristics", JSONB, nullable=False),
    Column("target_status", Text),
    Column("state", Text, nullable=False),
    Column("before", JSONB),
    Index("item_order", "order_id", "n"),
    Index("item_open_product", "product_id", unique=True, postgresql_where=text(_OPEN)),
)
"""One open order item per product at a time."""

step = Table(
    "step",
    metadata,
    Column("order_id", ForeignKey(product_order.c.order_id), nullable=False),
    Column("step_id", Integer, Identity(always=True), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ms", Float, nullable=False),
    Column("device_ms", Float, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Index("step_order", "order_id", "step_id"),
)

product = Table(
    "product",
    metadata,
    Column("product_id", UUID(as_uuid=True), primary_key=True),
    Column("service_id", UUID(as_uuid=True), nullable=False, unique=True),
    Column("customer_id", UUID(as_uuid=True), nullable=False),
    Column("account_id", UUID(as_uuid=True), nullable=False),
    Column("address_id", UUID(as_uuid=True)),
    Column("site", Text),
    Column("offering_id", UUID(as_uuid=True), nullable=False),
    Column("offering_code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("characteristics", JSONB, nullable=False),
    Column("start_at", DateTime(timezone=True)),
    Column("end_at", DateTime(timezone=True)),
    Column("revision", Integer, nullable=False),
    Index("product_account", "account_id"),
)

parked = Table(
    "parked",
    metadata,
    Column("order_id", ForeignKey(product_order.c.order_id), primary_key=True),
    Column("n", BigInteger, Identity(always=True), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Index("parked_in_order", "n"),
)
"""Orders that wait, by themselves, for the brake (`why` brake) or for a freeze to be lifted (freeze)."""

task = Table(
    "task",
    metadata,
    Column("task_id", UUID(as_uuid=True), primary_key=True),
    Column("order_id", ForeignKey(product_order.c.order_id), nullable=False),
    Column("item_id", ForeignKey(item.c.item_id), nullable=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("blocks", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'")),
    Column("done_at", DateTime(timezone=True)),
    Index("task_order", "order_id"),
    Index("task_open", "order_id", postgresql_where=text("state = 'open'")),
)

fallout = Table(
    "fallout",
    metadata,
    Column("order_id", ForeignKey(product_order.c.order_id), primary_key=True),
    Column("step", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("resolved_at", DateTime(timezone=True)),
    Column("choice", Text),
    Column("resolved_by", Text),
    Column("why", Text),
)

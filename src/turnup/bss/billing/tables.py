"""Billing's tables: PostgreSQL schema `billing`, no foreign key leaves it.

`metadata` holds the tables; `DDL` what SQLAlchemy has no words for: the ledger's balance check, insert-only
guards, monthly partitions, grants. Amounts are bigint minor units; prices bigint millionths of a minor unit.
Lines and ledger entries are partitioned by the month of their document's date; the partitions are made by
the run ahead of time (`billing.ensure_month`).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "billing"
ROLE = "turnup_billing"
"""The component's PostgreSQL role (runtime.database.role_of)."""
metadata = MetaData(schema=SCHEMA)
_INSTANT = DateTime(timezone=True)

account = Table(
    "account",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("customer_id", Uuid, nullable=False),
    Column("legal_entity_id", Uuid, nullable=False),
    Column("brand_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("cycle_day", SmallInteger, nullable=False),
    Column("tax_class", Text, nullable=False),
    Column("dunning_policy", Text, nullable=False),
    Column("taken_over_through", Date),
    Column("billed_through", Date, nullable=False),
    Column("next_bill_date", Date, nullable=False),
    Column("dirty_from", Date),
    Column("facts_version", Integer, nullable=False, server_default="0"),
    CheckConstraint("cycle_day between 1 and 31", name="account_cycle_day"),
    CheckConstraint("billed_through < next_bill_date", name="account_next_bill_date"),
    # Not indexed by next_bill_date: every run would rewrite the index; half-empty
    # pages let a run move every account without touching an index (HOT).
    postgresql_with={"fillfactor": "45"},
    comment="billing's own copy of an account; dirty_from: earliest day late facts touch; taken_over_through:"
    " what a former system billed, never billed again",
)

service = Table(
    "service",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False, index=True),
    Column("product_id", Uuid, nullable=False),
    Column("billing_start", Text, nullable=False),
)

service_fact = Table(
    "service_fact",
    metadata,
    Column("service_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("at", _INSTANT, primary_key=True),
    Column("recorded_at", _INSTANT, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    comment="what happened to a service; may arrive before its agreement, late and in any order",
)

billable_period = Table(
    "billable_period",
    metadata,
    Column("service_id", Uuid, primary_key=True),
    Column("n", SmallInteger, primary_key=True),
    Column("account_id", Uuid, nullable=False, index=True),
    Column("status", Text, nullable=False),
    Column("from_at", _INSTANT, nullable=False),
    Column("to_at", _INSTANT),
    Column("from_date", Date, nullable=False),
    Column("to_date", Date),
    Column("cause", Text, nullable=False),
    CheckConstraint("status in ('active', 'suspended')", name="billable_period_status"),
    CheckConstraint("to_at > from_at", name="billable_period_order"),
    comment="derived from service_fact; dates are local dates of the account's zone, half-open",
)

agreement = Table(
    "agreement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False, index=True),
    Column("product_id", Uuid, nullable=False),
    Column("service_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("tax_category", Text, nullable=False),
    Column("months", SmallInteger, nullable=False),
    Column("in_advance", Boolean, nullable=False),
    Column("unit", Text),
    Column("unit_octets", BigInteger),
    Column("included_octets", BigInteger),
    Column("credit_policy", Text, nullable=False),
    Column("from_at", _INSTANT),
    Column("to_at", _INSTANT),
    Column("from_date", Date),
    Column("to_date", Date),
    Column("ends_at", _INSTANT),
    UniqueConstraint("product_id", "revision", "code", name="agreement_revision"),
    CheckConstraint("kind in ('one_time', 'recurring', 'usage')", name="agreement_kind"),
    CheckConstraint("months between 1 and 120", name="agreement_months"),
    comment="one charge of one agreed price, frozen; from null: since billing starts;"
    " ends_at: a charge for so many cycles ends by itself",
)

price_revision = Table(
    "price_revision",
    metadata,
    Column("product_id", Uuid, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("service_id", Uuid, nullable=False),
    Column("effective_at", _INSTANT),
    comment="when each revision of a product's agreement begins; one without charges ends the product",
)

usage = Table(
    "usage",
    metadata,
    Column("service_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("started_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT, nullable=False),
    Column("used_on", Date, nullable=False),
    Column("octets", BigInteger, nullable=False),
    CheckConstraint("octets >= 0", name="usage_octets"),
    Index("usage_day", "service_id", "used_on"),
    comment="counted once by its source key, however often it arrives",
)

outage = Table(
    "outage_credit",
    metadata,
    Column("problem_id", Uuid, primary_key=True),
    Column("service_id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False, index=True),
    Column("started_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT, nullable=False),
    Column("started_on", Date, nullable=False),
    Column("ended_on", Date, nullable=False),
    CheckConstraint("ended_at >= started_at", name="outage_order"),
    comment="an outage of a service that ended; what it is worth is decided by the run, by policy",
)

early_fact = Table(
    "early_fact",
    metadata,
    Column("service_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("started_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT, nullable=False),
    Column("octets", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("kind in ('usage', 'outage')", name="early_fact_kind"),
    comment="usage and outages of a service whose price is not agreed yet; taken up when it is",
)

bill_run = Table(
    "bill_run",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("bill_date", Date, nullable=False),
    Column("legal_entity_id", Uuid),
    Column("pass", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("policies", JSONB, nullable=False),
    Column("shards", Integer, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT),
    CheckConstraint("state in ('drafting', 'posting', 'done')", name="bill_run_state"),
    comment="policies: the documents this run was judged by, frozen",
)

bill_run_shard = Table(
    "bill_run_shard",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("first_account", Uuid, nullable=False),
    Column("last_account", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("invoices", Integer, nullable=False, server_default="0"),
    Column("parked", Integer, nullable=False, server_default="0"),
    Column("total_minor", BigInteger, nullable=False, server_default="0"),
    Column("draft_invoices", LargeBinary),
    Column("draft_lines", LargeBinary),
    Column("draft_facts", LargeBinary),
    Column("draft_moved", LargeBinary),
    CheckConstraint("state in ('pending', 'drafted', 'posted')", name="bill_run_shard_state"),
    comment="drafts are frozen frames as Arrow IPC, dropped once posted",
)

number_block = Table(
    "number_block",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("shard", Integer, primary_key=True),
    Column("legal_entity_id", Uuid, primary_key=True),
    Column("invoices", Integer, nullable=False),
    Column("first_number", BigInteger),
    CheckConstraint("invoices > 0", name="number_block_invoices"),
    comment="the numbers of a shard's drafts, by account; given when all is drafted",
)

number_series = Table(
    "number_series",
    metadata,
    Column("legal_entity_id", Uuid, primary_key=True),
    Column("series", Text, primary_key=True),
    Column("last_number", BigInteger, nullable=False),
    comment="the highest number given away; every number up to it belongs to a document or to a frozen draft",
)

parked_account = Table(
    "parked_account",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("reason", Text, nullable=False),
    comment="could not be billed; stays due, so that the next run takes it up again",
)

run_fact = Table(
    "run_fact",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("shard", Integer, primary_key=True),
    Column("key", Integer, primary_key=True),
    Column("cycle_day", SmallInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("months", SmallInteger, nullable=False),
    Column("in_advance", Boolean, nullable=False),
    Column("period_from", Date, nullable=False),
    Column("period_to", Date, nullable=False),
    Column("granularity", Text, nullable=False),
    Column("rounding", Text, nullable=False),
    Column("tax_point", Text, nullable=False),
    comment="the conventions and reference periods shared by the lines of a shard: half of every derivation",
)

invoice_number = Table(
    "invoice_number",
    metadata,
    Column("legal_entity_id", Uuid, primary_key=True),
    Column("series", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("invoice_id", Uuid, nullable=False, unique=True),
    Column("issued_on", Date, nullable=False),
    comment="append-only and gapless per legal entity and series; written with the document",
)

invoice = Table(
    "invoice",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", Text, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("revision", SmallInteger, nullable=False),
    Column("legal_entity_id", Uuid, nullable=False),
    Column("brand_id", Uuid, nullable=False),
    Column("run_id", Uuid),
    Column("shard", Integer),
    Column("period_from", Date, nullable=False),
    Column("period_to", Date, nullable=False),
    Column("invoice_date", Date, nullable=False),
    Column("due_date", Date, nullable=False),
    Column("currency", Text, nullable=False),
    Column("tax_class", Text, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("open_minor", BigInteger, nullable=False),
    Column("posted_month", Date, nullable=False),
    CheckConstraint("total_minor = net_minor + tax_minor", name="invoice_total"),
    CheckConstraint("kind in ('bill', 'opening')", name="invoice_kind"),
    Index("invoice_by_account", "account_id", "invoice_date"),
    Index("invoice_newest", "invoice_date", "id"),
    Index("invoice_credit", "account_id", postgresql_where=text("open_minor < 0")),
    Index("invoice_due", "due_date", postgresql_where=text("open_minor > 0")),
    comment="posted documents only; nothing but open_minor ever changes. open < 0: credit still to be used",
)

invoice_line = Table(
    "invoice_line",
    metadata,
    Column("invoice_id", Uuid, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("posted_month", Date, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("agreement_id", Uuid, nullable=False),
    Column("source_id", Uuid),
    Column("period_from", Date, nullable=False),
    Column("period_to", Date, nullable=False),
    Column("served_from", Date, nullable=False),
    Column("served_to", Date, nullable=False),
    Column("fact_key", Integer, nullable=False),
    Column("price_micro", BigInteger, nullable=False),
    Column("numerator", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    Column("quantity", BigInteger),
    Column("included", BigInteger),
    Column("share_ppm", BigInteger),
    Column("owed_minor", BigInteger, nullable=False),
    Column("billed_before_minor", BigInteger, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_ppm", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    CheckConstraint("net_minor = owed_minor - billed_before_minor", name="invoice_line_net"),
    postgresql_partition_by="RANGE (posted_month)",
    comment="a line and its derivation: typed columns, plus agreement and run_fact for what many lines share",
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("source_id", Uuid, primary_key=True),
    Column("n", SmallInteger, primary_key=True, autoincrement=False),
    Column("posted_month", Date, primary_key=True),
    Column("source_kind", Text, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("legal_entity_id", Uuid, nullable=False),
    Column("account_id", Uuid),
    Column("ledger_account", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    CheckConstraint("posted_on - posted_month between 0 and 30", name="ledger_entry_month"),
    postgresql_partition_by="RANGE (posted_month)",
    comment="double entry, debit positive; the source is the transaction, posted once (its id is derived)",
)

payment = Table(
    "payment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, index=True),
    Column("legal_entity_id", Uuid),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("source_key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("unallocated_minor", BigInteger, nullable=False),
    CheckConstraint("amount_minor > 0", name="payment_amount"),
    CheckConstraint("unallocated_minor between 0 and amount_minor", name="payment_unallocated"),
    CheckConstraint("(state = 'matched') = (account_id is not null)", name="payment_state"),
    Index("payment_newest", "received_on", "id"),
    Index("payment_credit", "account_id", postgresql_where=text("unallocated_minor > 0")),
    comment="unmatched ones are kept with the reason until someone assigns them",
)

payment_file = Table(
    "payment_file",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("unmatched", Integer, nullable=False),
    Column("imported_at", _INSTANT, nullable=False),
    Column("actor", Text, nullable=False),
)

allocation = Table(
    "allocation",
    metadata,
    Column("source_kind", Text, primary_key=True),
    Column("source_id", Uuid, primary_key=True),
    Column("invoice_id", Uuid, primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("at", _INSTANT, nullable=False),
    CheckConstraint("amount_minor > 0", name="allocation_amount"),
    CheckConstraint("source_kind in ('payment', 'invoice')", name="allocation_source"),
    Index("allocation_by_invoice", "invoice_id"),
    comment="what settled what; a source is a payment or an invoice that came out negative",
)

dunning_case = Table(
    "dunning_case",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("opened_on", Date, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("last_step_at", _INSTANT, nullable=False),
    Column("released_at", _INSTANT),
    Index("dunning_case_open", "account_id", unique=True, postgresql_where=text("released_at is null")),
)

INSERT_ONLY = ("ledger_entry", "invoice_line", "invoice_number", "allocation", "service_fact", "run_fact")
PARTITIONED = ("ledger_entry", "invoice_line")

_BALANCE = """
create function billing.ledger_balances() returns trigger language plpgsql as $$
declare culprit record;
begin
  select source_kind, source_id, currency, sum(amount_minor) as off into culprit
    from posted group by source_kind, source_id, currency, legal_entity_id
    having sum(amount_minor) <> 0 or count(*) < 2 limit 1;
  if found then
    raise exception using errcode = 'check_violation', message = concat_ws(' ', 'ledger transaction',
      culprit.source_kind, culprit.source_id, 'is out of balance by', culprit.off, culprit.currency);
  end if;
  return null;
end $$
"""

_GUARD = """
create function billing.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'insufficient_privilege',
    message = concat(tg_table_schema, '.', tg_table_name, ' is insert-only; post a correction instead');
end $$
"""

# Security definer: the component's role may insert rows but create nothing; the owner makes partitions.
_ENSURE_MONTH = """
create function billing.ensure_month(month date) returns void
  language plpgsql security definer set search_path = billing, pg_temp as $$
declare
  parent text; part text;
  first date := date_trunc('month', month);
  following date := first + interval '1 month';
  bounds text := concat('(', quote_literal(first), ') to (', quote_literal(following), ')');
begin
  if to_regclass('billing.ledger_entry' || to_char(first, '_YYYY_MM')) is not null then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtext('billing.ensure_month'));
  foreach parent in array array['invoice_line', 'ledger_entry'] loop
    part := parent || to_char(first, '_YYYY_MM');
    if to_regclass('billing.' || part) is null then
      execute concat('create table billing.', quote_ident(part),
        ' partition of billing.', quote_ident(parent), ' for values from ', bounds);
    end if;
  end loop;
end $$
"""


def _guard(table: str) -> str:
    return (
        f"create trigger {table}_insert_only before update or delete or truncate on billing.{table}"
        " for each statement execute function billing.refuse_change()"
    )


DDL: tuple[str, ...] = (
    _BALANCE,
    "create trigger ledger_entry_balances after insert on billing.ledger_entry"
    " referencing new table as posted for each statement execute function billing.ledger_balances()",
    _GUARD,
    *(_guard(table) for table in INSERT_ONLY),
    _ENSURE_MONTH,
    # The drafts are compressed already.
    *(
        f"alter table billing.bill_run_shard alter column draft_{part} set storage external"
        for part in ("invoices", "lines", "facts", "moved")
    ),
    *(f"revoke update, delete, truncate on billing.{table} from {ROLE}" for table in INSERT_ONLY),
    f"revoke update, delete, truncate on billing.invoice from {ROLE}",
    f"grant update (open_minor) on billing.invoice to {ROLE}",
    "revoke execute on function billing.ensure_month(date) from public",
    f"grant execute on function billing.ensure_month(date) to {ROLE}",
)
"""Run once, in order, after the tables exist and the component's role has its rights on them.

Partitions get no grant of their own: rows enter through the parent, where the balance check stands.
"""

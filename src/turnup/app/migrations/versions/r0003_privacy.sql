ALTER TABLE runtime.audit ADD COLUMN link BIGINT

-- next

CREATE INDEX audit_at ON runtime.audit (at)

-- next

CREATE INDEX audit_sealed ON runtime.audit (link) WHERE link IS NOT NULL

-- next

CREATE INDEX audit_unsealed ON runtime.audit (audit_id) WHERE link IS NULL

-- next

COMMENT ON COLUMN runtime.audit.link IS 'null: not sealed yet'

-- next

CREATE TABLE runtime.audit_link (
	n BIGINT NOT NULL, 
	previous BYTEA NOT NULL, 
	sealed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	audit_ids BIGINT[] NOT NULL, 
	digests BYTEA NOT NULL, 
	hash BYTEA NOT NULL, 
	key_id TEXT NOT NULL, 
	mac BYTEA NOT NULL, 
	PRIMARY KEY (n)
)

-- next

COMMENT ON COLUMN runtime.audit_link.digests IS 'SHA-256 of each, 32 bytes'

-- next

CREATE TABLE runtime.audit_checkpoint (
	n BIGINT NOT NULL, 
	hash BYTEA NOT NULL, 
	key_id TEXT NOT NULL, 
	mac BYTEA NOT NULL, 
	taken_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	entries BIGINT NOT NULL, 
	PRIMARY KEY (n)
)

-- next

CREATE TABLE runtime.erasure (
	erasure_id UUID NOT NULL, 
	party_id UUID NOT NULL, 
	asked_by TEXT NOT NULL, 
	asked_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	attempt INTEGER NOT NULL, 
	tried_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	state TEXT NOT NULL, 
	in_the_way JSONB NOT NULL, 
	documents_until DATE, 
	changed JSONB NOT NULL, 
	kept JSONB NOT NULL, 
	done_at TIMESTAMP WITH TIME ZONE, 
	again BOOLEAN DEFAULT false NOT NULL, 
	PRIMARY KEY (erasure_id), 
	UNIQUE (party_id)
)

-- next

COMMENT ON COLUMN runtime.erasure.state IS 'asked | blocked | done'

-- next

CREATE TABLE runtime.purge (
	purge_id TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	finished_at TIMESTAMP WITH TIME ZONE, 
	actor TEXT NOT NULL, 
	PRIMARY KEY (purge_id)
)

-- next

CREATE TABLE runtime.purged (
	purge_id TEXT NOT NULL, 
	what TEXT NOT NULL, 
	before TIMESTAMP WITH TIME ZONE NOT NULL, 
	rows BIGINT NOT NULL, 
	PRIMARY KEY (purge_id, what)
)

-- next

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

-- next

create or replace trigger audit_guard before update or delete on runtime.audit for each row execute function runtime.guard_audit()

-- next

create or replace trigger audit_link_guard before update or delete on runtime.audit_link for each row execute function runtime.guard_audit()

-- next

create or replace trigger audit_checkpoint_guard before update or delete on runtime.audit_checkpoint for each row execute function runtime.guard_audit()

-- next

create or replace trigger audit_keep before truncate on runtime.audit for each statement execute function runtime.guard_audit()

-- next

create or replace trigger audit_link_keep before truncate on runtime.audit_link for each statement execute function runtime.guard_audit()

-- next

create or replace trigger audit_checkpoint_keep before truncate on runtime.audit_checkpoint for each statement execute function runtime.guard_audit()

-- next

ALTER TABLE crm.party ADD COLUMN erased_at TIMESTAMP WITH TIME ZONE

-- next

CREATE TABLE crm.document_recipient (
	customer_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	street TEXT NOT NULL, 
	postcode TEXT NOT NULL, 
	city TEXT NOT NULL, 
	country TEXT NOT NULL, 
	keep_until DATE NOT NULL, 
	PRIMARY KEY (customer_id), 
	FOREIGN KEY(customer_id) REFERENCES crm.customer (customer_id)
)

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON crm.document_recipient TO turnup_crm

-- next

ALTER TABLE mediation.quarantine ADD COLUMN system TEXT

-- next

ALTER TABLE mediation.quarantine ADD COLUMN external_id TEXT
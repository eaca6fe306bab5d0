CREATE SCHEMA IF NOT EXISTS runtime

-- next

CREATE TABLE runtime.event (
	event_id BIGINT GENERATED ALWAYS AS IDENTITY, 
	position BIGINT, 
	type TEXT NOT NULL, 
	schema_version INTEGER NOT NULL, 
	aggregate_id UUID NOT NULL, 
	aggregate_version BIGINT NOT NULL, 
	payload JSONB NOT NULL, 
	occurred_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	actor TEXT NOT NULL, 
	traceparent TEXT, 
	PRIMARY KEY (event_id), 
	CONSTRAINT event_aggregate_version UNIQUE (aggregate_id, aggregate_version)
)

-- next

CREATE INDEX event_unsequenced ON runtime.event (event_id) WHERE position IS NULL

-- next

CREATE UNIQUE INDEX event_position ON runtime.event (position) WHERE position IS NOT NULL

-- next

CREATE TABLE runtime.aggregate (
	aggregate_id UUID NOT NULL, 
	version BIGINT NOT NULL, 
	PRIMARY KEY (aggregate_id)
)

-- next

CREATE TABLE runtime.sequencer (
	id SERIAL NOT NULL, 
	last_position BIGINT NOT NULL, 
	PRIMARY KEY (id)
)

-- next

CREATE TABLE runtime.consumer (
	name TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	PRIMARY KEY (name)
)

-- next

CREATE TABLE runtime.parked (
	consumer TEXT NOT NULL, 
	aggregate_id UUID NOT NULL, 
	position BIGINT NOT NULL, 
	error TEXT NOT NULL, 
	parked_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (consumer, aggregate_id, position)
)

-- next

CREATE TABLE runtime.worker (
	worker_id TEXT NOT NULL, 
	version TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	heartbeat_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	taken_over_by TEXT, 
	stopped_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (worker_id)
)

-- next

CREATE TABLE runtime.audit (
	audit_id BIGINT GENERATED ALWAYS AS IDENTITY, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	component TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	before JSONB, 
	after JSONB, 
	PRIMARY KEY (audit_id)
)

-- next

CREATE INDEX audit_subject ON runtime.audit (subject)

-- next

CREATE TABLE runtime.api_token (
	token_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	secret_hash TEXT NOT NULL, 
	scopes JSONB NOT NULL, 
	legal_entity_id UUID, 
	brand_id UUID, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE, 
	revoked BOOLEAN DEFAULT false NOT NULL, 
	owner TEXT, 
	PRIMARY KEY (token_id)
)

-- next

CREATE UNIQUE INDEX api_token_name ON runtime.api_token (name) WHERE not revoked

-- next

COMMENT ON COLUMN runtime.api_token.legal_entity_id IS 'null: every legal entity'

-- next

COMMENT ON COLUMN runtime.api_token.brand_id IS 'null: every brand'

-- next

COMMENT ON COLUMN runtime.api_token.owner IS 'the staff member it belongs to; null: nobody''s'

-- next

CREATE TABLE runtime.staff (
	name TEXT NOT NULL, 
	roles JSONB NOT NULL, 
	password_hash TEXT, 
	oidc_identity TEXT, 
	oidc_subject TEXT, 
	legal_entity_id UUID, 
	brand_id UUID, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	last_login_at TIMESTAMP WITH TIME ZONE, 
	disabled_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (name), 
	UNIQUE (oidc_identity)
)

-- next

COMMENT ON COLUMN runtime.staff.name IS 'never given twice: it stands in the audit'

-- next

COMMENT ON COLUMN runtime.staff.password_hash IS 'argon2id; null: no login by password'

-- next

COMMENT ON COLUMN runtime.staff.oidc_subject IS 'the provider''s `sub`, from the first login on'

-- next

COMMENT ON COLUMN runtime.staff.legal_entity_id IS 'null: every legal entity'

-- next

COMMENT ON COLUMN runtime.staff.brand_id IS 'null: every brand'

-- next

CREATE TABLE runtime.staff_session (
	session_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	secret_hash TEXT NOT NULL, 
	way TEXT NOT NULL, 
	address TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	seen_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (session_id)
)

-- next

CREATE INDEX staff_session_name ON runtime.staff_session (name)

-- next

COMMENT ON COLUMN runtime.staff_session.way IS 'password | oidc'

-- next

CREATE TABLE runtime.login_attempt (
	key TEXT NOT NULL, 
	failures INTEGER NOT NULL, 
	last_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	locked_until TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (key)
)

-- next

COMMENT ON COLUMN runtime.login_attempt.key IS 'name:… or address:…'

-- next

CREATE TABLE runtime.oidc_login (
	state_hash TEXT NOT NULL, 
	nonce TEXT NOT NULL, 
	verifier TEXT NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (state_hash)
)

-- next

COMMENT ON COLUMN runtime.oidc_login.verifier IS 'PKCE (RFC 7636)'

-- next

CREATE TABLE runtime.approval (
	approval_id UUID NOT NULL, 
	action TEXT NOT NULL, 
	what TEXT NOT NULL, 
	arguments JSONB NOT NULL, 
	asked_by TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	asked_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	state TEXT NOT NULL, 
	decided_by TEXT, 
	decided_at TIMESTAMP WITH TIME ZONE, 
	reason TEXT, 
	result JSONB, 
	PRIMARY KEY (approval_id)
)

-- next

CREATE INDEX approval_waiting ON runtime.approval (asked_at) WHERE state = 'waiting'

-- next

COMMENT ON COLUMN runtime.approval.asked_by IS 'the person'

-- next

COMMENT ON COLUMN runtime.approval.actor IS 'how she asked; the actor of what is executed'

-- next

CREATE UNLOGGED TABLE runtime.rate_window (
	key TEXT NOT NULL, 
	hits BIGINT NOT NULL, 
	ends_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (key)
)

-- next

CREATE TABLE runtime.clock (
	id SERIAL NOT NULL, 
	offset_s FLOAT NOT NULL, 
	PRIMARY KEY (id)
)

-- next

CREATE TABLE runtime.restored (
	restored_id UUID NOT NULL, 
	target_at TIMESTAMP WITH TIME ZONE, 
	reached_at TIMESTAMP WITH TIME ZONE, 
	restored_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	restored_by TEXT NOT NULL, 
	backup TEXT NOT NULL, 
	replaced TEXT, 
	freeze_id UUID NOT NULL, 
	lost JSONB NOT NULL, 
	released_at TIMESTAMP WITH TIME ZONE, 
	released_by TEXT, 
	release_reason TEXT, 
	decisions JSONB, 
	PRIMARY KEY (restored_id)
)

-- next

COMMENT ON COLUMN runtime.restored.target_at IS 'null: all there was'

-- next

COMMENT ON COLUMN runtime.restored.reached_at IS 'of the last transaction the books hold'

-- next

COMMENT ON COLUMN runtime.restored.replaced IS 'name of the data put aside; null where Turnup did not put it there'

-- next

INSERT INTO runtime.sequencer (id, last_position) VALUES (1, 0)

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_crm') THEN CREATE ROLE "turnup_crm" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_crm" TO CURRENT_USER

-- next

CREATE SCHEMA "crm"

-- next

GRANT USAGE ON SCHEMA "crm" TO "turnup_crm"

-- next

CREATE SEQUENCE crm.customer_number START WITH 100001

-- next

CREATE SEQUENCE crm.account_number START WITH 100001

-- next

CREATE TABLE crm.legal_entity (
	legal_entity_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	PRIMARY KEY (legal_entity_id), 
	UNIQUE (code)
)

-- next

CREATE TABLE crm.brand (
	brand_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	PRIMARY KEY (brand_id), 
	UNIQUE (code)
)

-- next

CREATE TABLE crm.party (
	party_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	given_name TEXT, 
	family_name TEXT, 
	language TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (party_id), 
	CONSTRAINT party_kind CHECK (kind IN ('individual', 'organization'))
)

-- next

CREATE TABLE crm.contact (
	party_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	value TEXT NOT NULL, 
	UNIQUE (party_id, kind), 
	CONSTRAINT contact_kind CHECK (kind IN ('email', 'phone')), 
	FOREIGN KEY(party_id) REFERENCES crm.party (party_id)
)

-- next

CREATE TABLE crm.address (
	address_id UUID NOT NULL, 
	party_id UUID NOT NULL, 
	street TEXT NOT NULL, 
	postcode TEXT NOT NULL, 
	city TEXT NOT NULL, 
	country TEXT NOT NULL, 
	latitude NUMERIC(9, 6), 
	longitude NUMERIC(9, 6), 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (address_id), 
	FOREIGN KEY(party_id) REFERENCES crm.party (party_id)
)

-- next

CREATE INDEX address_party ON crm.address (party_id)

-- next

CREATE TABLE crm.customer (
	customer_id UUID NOT NULL, 
	number TEXT NOT NULL, 
	party_id UUID NOT NULL, 
	status TEXT NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	brand_id UUID NOT NULL, 
	external_id TEXT, 
	content_hash TEXT, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (customer_id), 
	UNIQUE (number), 
	FOREIGN KEY(party_id) REFERENCES crm.party (party_id), 
	FOREIGN KEY(legal_entity_id) REFERENCES crm.legal_entity (legal_entity_id), 
	FOREIGN KEY(brand_id) REFERENCES crm.brand (brand_id), 
	UNIQUE (external_id)
)

-- next

CREATE INDEX customer_party ON crm.customer (party_id)

-- next

CREATE TABLE crm.account (
	account_id UUID NOT NULL, 
	number TEXT NOT NULL, 
	customer_id UUID NOT NULL, 
	currency TEXT NOT NULL, 
	time_zone TEXT NOT NULL, 
	bill_cycle_day INTEGER NOT NULL, 
	tax_class TEXT NOT NULL, 
	dunning_policy TEXT NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	brand_id UUID NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (account_id), 
	UNIQUE (number), 
	FOREIGN KEY(customer_id) REFERENCES crm.customer (customer_id), 
	FOREIGN KEY(legal_entity_id) REFERENCES crm.legal_entity (legal_entity_id), 
	FOREIGN KEY(brand_id) REFERENCES crm.brand (brand_id)
)

-- next

CREATE INDEX account_customer ON crm.account (customer_id)

-- next

CREATE TABLE crm.message (
	key TEXT NOT NULL, 
	n BIGINT GENERATED ALWAYS AS IDENTITY, 
	customer_id UUID NOT NULL, 
	template TEXT NOT NULL, 
	recipient TEXT, 
	subject TEXT NOT NULL, 
	body TEXT NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	error TEXT, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	finished_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (key), 
	CONSTRAINT message_state CHECK (state IN ('queued', 'sent', 'failed')), 
	FOREIGN KEY(customer_id) REFERENCES crm.customer (customer_id)
)

-- next

CREATE INDEX message_customer ON crm.message (customer_id, n)

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "crm" TO "turnup_crm"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "crm" TO "turnup_crm"

-- next

INSERT INTO crm.legal_entity (legal_entity_id, code, name) VALUES ('5796c4fa-8d41-5bf1-94f8-279e7e46f4dd', 'default', 'Default legal entity') ON CONFLICT DO NOTHING

-- next

INSERT INTO crm.brand (brand_id, code, name) VALUES ('4fc6bc3f-cdbc-56e9-a2e5-af797cb6f18d', 'default', 'Default brand') ON CONFLICT DO NOTHING

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_catalog') THEN CREATE ROLE "turnup_catalog" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_catalog" TO CURRENT_USER

-- next

CREATE SCHEMA "catalog"

-- next

GRANT USAGE ON SCHEMA "catalog" TO "turnup_catalog"

-- next

CREATE TABLE catalog.offering (
	offering_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	valid_from TIMESTAMP WITH TIME ZONE NOT NULL, 
	valid_to TIMESTAMP WITH TIME ZONE, 
	document JSONB NOT NULL, 
	author TEXT NOT NULL, 
	published_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (offering_id), 
	UNIQUE (code, version)
)

-- next

CREATE TABLE catalog.policy (
	kind TEXT NOT NULL, 
	code TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	valid_from TIMESTAMP WITH TIME ZONE NOT NULL, 
	valid_to TIMESTAMP WITH TIME ZONE, 
	document JSONB NOT NULL, 
	author TEXT NOT NULL, 
	published_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (kind, code, version)
)

-- next

CREATE TABLE catalog.price (
	price_id UUID NOT NULL, 
	offering_id UUID NOT NULL, 
	PRIMARY KEY (price_id), 
	FOREIGN KEY(offering_id) REFERENCES catalog.offering (offering_id)
)

-- next

CREATE INDEX price_offering ON catalog.price (offering_id)

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "catalog" TO "turnup_catalog"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "catalog" TO "turnup_catalog"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_inventory') THEN CREATE ROLE "turnup_inventory" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_inventory" TO CURRENT_USER

-- next

CREATE SCHEMA "inventory"

-- next

GRANT USAGE ON SCHEMA "inventory" TO "turnup_inventory"

-- next

CREATE TABLE inventory.site (
	site_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	latitude NUMERIC(9, 6), 
	longitude NUMERIC(9, 6), 
	reach_km NUMERIC(8, 3) NOT NULL, 
	PRIMARY KEY (site_id), 
	UNIQUE (code)
)

-- next

CREATE TABLE inventory.pool (
	pool_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	prefixes JSONB NOT NULL, 
	prefix_length INTEGER NOT NULL, 
	reserved JSONB NOT NULL, 
	materialised BIGINT DEFAULT 0 NOT NULL, 
	PRIMARY KEY (pool_id), 
	UNIQUE (code)
)

-- next

CREATE TABLE inventory.holding (
	service_id UUID NOT NULL, 
	status TEXT NOT NULL, 
	access_element_id UUID, 
	bng_element_id UUID, 
	servers JSONB NOT NULL, 
	circuit_id TEXT, 
	ont_serial TEXT, 
	resources JSONB NOT NULL, 
	changed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (service_id)
)

-- next

CREATE INDEX holding_access ON inventory.holding (access_element_id)

-- next

CREATE INDEX holding_bng ON inventory.holding (bng_element_id)

-- next

CREATE UNIQUE INDEX holding_circuit ON inventory.holding (circuit_id) WHERE circuit_id IS NOT NULL AND status <> 'released'

-- next

CREATE UNIQUE INDEX holding_ont ON inventory.holding (ont_serial) WHERE ont_serial IS NOT NULL AND status <> 'released'

-- next

CREATE TABLE inventory.element (
	element_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	role TEXT NOT NULL, 
	site_id UUID NOT NULL, 
	driver TEXT NOT NULL, 
	management JSONB NOT NULL, 
	status TEXT NOT NULL, 
	PRIMARY KEY (element_id), 
	UNIQUE (code), 
	FOREIGN KEY(site_id) REFERENCES inventory.site (site_id)
)

-- next

CREATE TABLE inventory.slot (
	pool_id UUID NOT NULL, 
	n BIGINT NOT NULL, 
	value TEXT NOT NULL, 
	service_id UUID, 
	PRIMARY KEY (pool_id, n), 
	UNIQUE (value), 
	UNIQUE (pool_id, service_id), 
	FOREIGN KEY(pool_id) REFERENCES inventory.pool (pool_id)
)

-- next

CREATE INDEX slot_free ON inventory.slot (pool_id, n) WHERE service_id IS NULL

-- next

CREATE INDEX slot_service ON inventory.slot (service_id) WHERE service_id IS NOT NULL

-- next

CREATE TABLE inventory.port (
	port_id UUID NOT NULL, 
	element_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	capacity INTEGER NOT NULL, 
	first_vlan INTEGER NOT NULL, 
	PRIMARY KEY (port_id), 
	UNIQUE (element_id, name), 
	FOREIGN KEY(element_id) REFERENCES inventory.element (element_id)
)

-- next

CREATE TABLE inventory.link (
	link_id UUID NOT NULL, 
	a_port_id UUID NOT NULL, 
	b_port_id UUID NOT NULL, 
	PRIMARY KEY (link_id), 
	FOREIGN KEY(a_port_id) REFERENCES inventory.port (port_id), 
	FOREIGN KEY(b_port_id) REFERENCES inventory.port (port_id)
)

-- next

CREATE TABLE inventory.line (
	port_id UUID NOT NULL, 
	n INTEGER NOT NULL, 
	vlan INTEGER NOT NULL, 
	service_id UUID, 
	PRIMARY KEY (port_id, n), 
	UNIQUE (port_id, vlan), 
	FOREIGN KEY(port_id) REFERENCES inventory.port (port_id), 
	UNIQUE (service_id)
)

-- next

CREATE INDEX line_free ON inventory.line (n, port_id) WHERE service_id IS NULL

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "inventory" TO "turnup_inventory"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "inventory" TO "turnup_inventory"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_configuration') THEN CREATE ROLE "turnup_configuration" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_configuration" TO CURRENT_USER

-- next

CREATE SCHEMA "configuration"

-- next

GRANT USAGE ON SCHEMA "configuration" TO "turnup_configuration"

-- next

CREATE TABLE configuration.intent (
	element_id UUID NOT NULL, 
	service_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	generation BIGINT NOT NULL, 
	attributes JSONB, 
	PRIMARY KEY (element_id, service_id)
)

-- next

CREATE INDEX intent_service ON configuration.intent (service_id)

-- next

CREATE TABLE configuration.element_state (
	element_id UUID NOT NULL, 
	holder TEXT, 
	token BIGINT NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	changed_at TIMESTAMP WITH TIME ZONE, 
	backed_up_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (element_id)
)

-- next

CREATE TABLE configuration.credential (
	element_id UUID NOT NULL, 
	sealed BYTEA NOT NULL, 
	changed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (element_id)
)

-- next

CREATE TABLE configuration.backup (
	element_id UUID NOT NULL, 
	revision INTEGER NOT NULL, 
	taken_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	sha256 TEXT NOT NULL, 
	cause TEXT NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (element_id, revision)
)

-- next

CREATE TABLE configuration."freeze" (
	freeze_id UUID NOT NULL, 
	scope TEXT NOT NULL, 
	target_id UUID, 
	code TEXT, 
	reason TEXT NOT NULL, 
	frozen_by TEXT NOT NULL, 
	frozen_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	lifted_by TEXT, 
	lifted_at TIMESTAMP WITH TIME ZONE, 
	lift_reason TEXT, 
	PRIMARY KEY (freeze_id)
)

-- next

CREATE UNIQUE INDEX freeze_active ON configuration."freeze" (scope, coalesce(target_id, '00000000-0000-0000-0000-000000000000'::uuid)) WHERE lifted_at IS NULL

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "configuration" TO "turnup_configuration"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "configuration" TO "turnup_configuration"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_provisioning') THEN CREATE ROLE "turnup_provisioning" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_provisioning" TO CURRENT_USER

-- next

CREATE SCHEMA "provisioning"

-- next

GRANT USAGE ON SCHEMA "provisioning" TO "turnup_provisioning"

-- next

CREATE SEQUENCE provisioning.service_number START WITH 100001

-- next

CREATE TABLE provisioning.service (
	service_id UUID NOT NULL, 
	number TEXT NOT NULL, 
	product_id UUID NOT NULL, 
	customer_id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	address_id UUID, 
	spec JSONB NOT NULL, 
	state TEXT NOT NULL, 
	management TEXT NOT NULL, 
	admission TEXT NOT NULL, 
	generation BIGINT NOT NULL, 
	verified_generation BIGINT NOT NULL, 
	characteristics JSONB NOT NULL, 
	resources JSONB NOT NULL, 
	elements JSONB NOT NULL, 
	login TEXT NOT NULL, 
	secret_sealed TEXT NOT NULL, 
	reason TEXT, 
	configured_at TIMESTAMP WITH TIME ZONE, 
	first_online_at TIMESTAMP WITH TIME ZONE, 
	accepted_at TIMESTAMP WITH TIME ZONE, 
	configuration_present BOOLEAN, 
	configuration_read_at TIMESTAMP WITH TIME ZONE, 
	online BOOLEAN, 
	online_changed_at TIMESTAMP WITH TIME ZONE, 
	traffic_seen_at TIMESTAMP WITH TIME ZONE, 
	speed_down_kbps INTEGER, 
	speed_up_kbps INTEGER, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (service_id), 
	UNIQUE (number), 
	UNIQUE (login)
)

-- next

CREATE INDEX service_account ON provisioning.service (account_id)

-- next

CREATE INDEX service_product ON provisioning.service (product_id)

-- next

CREATE INDEX service_unproved ON provisioning.service (service_id) WHERE generation <> verified_generation

-- next

CREATE TABLE provisioning.brake (
	scope TEXT NOT NULL, 
	latest_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (scope)
)

-- next

CREATE TABLE provisioning.brake_pass (
	request TEXT NOT NULL, 
	service_id UUID NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	released BOOLEAN NOT NULL, 
	PRIMARY KEY (request, service_id)
)

-- next

CREATE INDEX brake_pass_at ON provisioning.brake_pass (at) WHERE NOT released

-- next

CREATE TABLE provisioning.brake_hold (
	hold_id UUID NOT NULL, 
	n BIGINT GENERATED ALWAYS AS IDENTITY, 
	request TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	cause TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	what TEXT NOT NULL, 
	services JSONB NOT NULL, 
	facts JSONB NOT NULL, 
	held_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	state TEXT NOT NULL, 
	decided_by TEXT, 
	decided_at TIMESTAMP WITH TIME ZONE, 
	decision_reason TEXT, 
	PRIMARY KEY (hold_id), 
	UNIQUE (request)
)

-- next

CREATE INDEX brake_hold_waiting ON provisioning.brake_hold (n) WHERE state = 'held'

-- next

CREATE TABLE provisioning.waiting (
	service_id UUID NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (service_id)
)

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "provisioning" TO "turnup_provisioning"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "provisioning" TO "turnup_provisioning"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_monitoring') THEN CREATE ROLE "turnup_monitoring" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_monitoring" TO CURRENT_USER

-- next

CREATE SCHEMA "monitoring"

-- next

GRANT USAGE ON SCHEMA "monitoring" TO "turnup_monitoring"

-- next

CREATE TABLE monitoring.accounting_cursor (
	source TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	heard_until TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (source)
)

-- next

CREATE TABLE monitoring.session (
	nas TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	username TEXT NOT NULL, 
	service_id UUID, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	heard_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	cause TEXT, 
	dead_by TIMESTAMP WITH TIME ZONE, 
	upload BIGINT NOT NULL, 
	download BIGINT NOT NULL, 
	framed_ipv4 TEXT, 
	circuit_id TEXT, 
	told_start BOOLEAN NOT NULL, 
	told_end BOOLEAN NOT NULL, 
	told_upload BIGINT NOT NULL, 
	told_download BIGINT NOT NULL, 
	told_until TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (nas, session_id)
)

-- next

CREATE INDEX session_live_nas ON monitoring.session (nas) WHERE ended_at IS NULL

-- next

CREATE INDEX session_live_user ON monitoring.session (username) WHERE ended_at IS NULL

-- next

CREATE INDEX session_nobody ON monitoring.session (username) WHERE service_id IS NULL

-- next

CREATE INDEX session_service ON monitoring.session (service_id, started_at)

-- next

CREATE TABLE monitoring.health (
	element_id UUID NOT NULL, 
	reachable BOOLEAN, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	checked_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	failures INTEGER NOT NULL, 
	failed_since TIMESTAMP WITH TIME ZONE, 
	round_trip_ms FLOAT, 
	uptime_s FLOAT, 
	PRIMARY KEY (element_id)
)

-- next

CREATE TABLE monitoring.port_state (
	element_id UUID NOT NULL, 
	port TEXT NOT NULL, 
	up BOOLEAN NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	was_up BOOLEAN NOT NULL, 
	PRIMARY KEY (element_id, port)
)

-- next

CREATE TABLE monitoring.alarm (
	id UUID NOT NULL, 
	element_id UUID NOT NULL, 
	port TEXT, 
	kind TEXT NOT NULL, 
	raised_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	cleared_at TIMESTAMP WITH TIME ZONE, 
	occurrences INTEGER NOT NULL, 
	cause_id UUID, 
	PRIMARY KEY (id)
)

-- next

CREATE INDEX alarm_raised ON monitoring.alarm (raised_at)

-- next

CREATE UNIQUE INDEX alarm_one_a_condition ON monitoring.alarm (element_id, coalesce(port, ''), kind) WHERE cleared_at IS NULL

-- next

CREATE TABLE monitoring.octets (
	element_id UUID NOT NULL, 
	port TEXT NOT NULL, 
	hour TIMESTAMP WITH TIME ZONE NOT NULL, 
	offsets_s SMALLINT[] NOT NULL, 
	received BIGINT[] NOT NULL, 
	sent BIGINT[] NOT NULL, 
	PRIMARY KEY (element_id, port, hour)
)

-- next

CREATE TABLE monitoring.problem (
	id UUID NOT NULL, 
	alarm_id UUID NOT NULL, 
	cause TEXT NOT NULL, 
	opened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	cleared_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (id), 
	FOREIGN KEY(alarm_id) REFERENCES monitoring.alarm (id)
)

-- next

CREATE INDEX problem_open ON monitoring.problem (opened_at) WHERE cleared_at IS NULL

-- next

CREATE TABLE monitoring.outage (
	service_id UUID NOT NULL, 
	problem_id UUID NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (service_id, problem_id, started_at), 
	FOREIGN KEY(problem_id) REFERENCES monitoring.problem (id)
)

-- next

CREATE INDEX outage_problem ON monitoring.outage (problem_id)

-- next

CREATE UNIQUE INDEX outage_one_at_a_time ON monitoring.outage (service_id) WHERE ended_at IS NULL

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "monitoring" TO "turnup_monitoring"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "monitoring" TO "turnup_monitoring"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_orders') THEN CREATE ROLE "turnup_orders" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_orders" TO CURRENT_USER

-- next

CREATE SCHEMA "orders"

-- next

GRANT USAGE ON SCHEMA "orders" TO "turnup_orders"

-- next

CREATE SEQUENCE orders.order_number START WITH 100001

-- next

CREATE TABLE orders.product_order (
	order_id UUID NOT NULL, 
	number TEXT NOT NULL, 
	state TEXT NOT NULL, 
	customer_id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	brand_id UUID NOT NULL, 
	address_id UUID, 
	site TEXT, 
	requested_start TIMESTAMP WITH TIME ZONE, 
	external_id TEXT, 
	idempotency_key TEXT, 
	content_hash TEXT NOT NULL, 
	reason TEXT, 
	origin TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	running BOOLEAN NOT NULL, 
	cancel_requested BOOLEAN DEFAULT false NOT NULL, 
	skipped JSONB DEFAULT '[]' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	completed_at TIMESTAMP WITH TIME ZONE, 
	error TEXT, 
	PRIMARY KEY (order_id), 
	UNIQUE (number), 
	UNIQUE (idempotency_key)
)

-- next

CREATE INDEX order_account ON orders.product_order (account_id, created_at)

-- next

CREATE INDEX order_open ON orders.product_order (requested_start) WHERE state NOT IN ('rejected', 'cancelled', 'completed', 'failed', 'partial')

-- next

CREATE TABLE orders.product (
	product_id UUID NOT NULL, 
	service_id UUID NOT NULL, 
	customer_id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	address_id UUID, 
	site TEXT, 
	offering_id UUID NOT NULL, 
	offering_code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	status TEXT NOT NULL, 
	characteristics JSONB NOT NULL, 
	start_at TIMESTAMP WITH TIME ZONE, 
	end_at TIMESTAMP WITH TIME ZONE, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (product_id), 
	UNIQUE (service_id)
)

-- next

CREATE INDEX product_account ON orders.product (account_id)

-- next

CREATE TABLE orders.cancellation (
	cancellation_id UUID NOT NULL, 
	order_id UUID NOT NULL, 
	reason TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (cancellation_id), 
	UNIQUE (order_id), 
	FOREIGN KEY(order_id) REFERENCES orders.product_order (order_id)
)

-- next

CREATE INDEX cancellation_newest ON orders.cancellation (created_at, cancellation_id)

-- next

CREATE TABLE orders.item (
	item_id UUID NOT NULL, 
	order_id UUID NOT NULL, 
	n INTEGER NOT NULL, 
	action TEXT NOT NULL, 
	product_id UUID NOT NULL, 
	service_id UUID NOT NULL, 
	offering_id UUID NOT NULL, 
	offering_code TEXT NOT NULL, 
	characteristics JSONB NOT NULL, 
	target_status TEXT, 
	state TEXT NOT NULL, 
	before JSONB, 
	PRIMARY KEY (item_id), 
	FOREIGN KEY(order_id) REFERENCES orders.product_order (order_id)
)

-- next

CREATE INDEX item_order ON orders.item (order_id, n)

-- next

CREATE UNIQUE INDEX item_open_product ON orders.item (product_id) WHERE state NOT IN ('rejected', 'cancelled', 'completed', 'failed', 'partial')

-- next

CREATE TABLE orders.step (
	order_id UUID NOT NULL, 
	step_id INTEGER GENERATED ALWAYS AS IDENTITY, 
	attempt INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ms FLOAT NOT NULL, 
	device_ms FLOAT NOT NULL, 
	ok BOOLEAN NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (step_id), 
	FOREIGN KEY(order_id) REFERENCES orders.product_order (order_id)
)

-- next

CREATE INDEX step_order ON orders.step (order_id, step_id)

-- next

CREATE TABLE orders.parked (
	order_id UUID NOT NULL, 
	n BIGINT GENERATED ALWAYS AS IDENTITY, 
	attempt INTEGER NOT NULL, 
	why TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (order_id), 
	FOREIGN KEY(order_id) REFERENCES orders.product_order (order_id)
)

-- next

CREATE INDEX parked_in_order ON orders.parked (n)

-- next

CREATE TABLE orders.fallout (
	order_id UUID NOT NULL, 
	step TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	resolved_at TIMESTAMP WITH TIME ZONE, 
	choice TEXT, 
	resolved_by TEXT, 
	why TEXT, 
	PRIMARY KEY (order_id), 
	FOREIGN KEY(order_id) REFERENCES orders.product_order (order_id)
)

-- next

CREATE TABLE orders.task (
	task_id UUID NOT NULL, 
	order_id UUID NOT NULL, 
	item_id UUID NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	blocks TEXT NOT NULL, 
	state TEXT NOT NULL, 
	facts JSONB DEFAULT '{}' NOT NULL, 
	done_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (task_id), 
	FOREIGN KEY(order_id) REFERENCES orders.product_order (order_id), 
	FOREIGN KEY(item_id) REFERENCES orders.item (item_id)
)

-- next

CREATE INDEX task_open ON orders.task (order_id) WHERE state = 'open'

-- next

CREATE INDEX task_order ON orders.task (order_id)

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "orders" TO "turnup_orders"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "orders" TO "turnup_orders"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_billing') THEN CREATE ROLE "turnup_billing" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_billing" TO CURRENT_USER

-- next

CREATE SCHEMA "billing"

-- next

GRANT USAGE ON SCHEMA "billing" TO "turnup_billing"

-- next

CREATE TABLE billing.account (
	id UUID NOT NULL, 
	number TEXT NOT NULL, 
	customer_id UUID NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	brand_id UUID NOT NULL, 
	currency TEXT NOT NULL, 
	zone TEXT NOT NULL, 
	cycle_day SMALLINT NOT NULL, 
	tax_class TEXT NOT NULL, 
	dunning_policy TEXT NOT NULL, 
	taken_over_through DATE, 
	billed_through DATE NOT NULL, 
	next_bill_date DATE NOT NULL, 
	dirty_from DATE, 
	facts_version INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT account_cycle_day CHECK (cycle_day between 1 and 31), 
	CONSTRAINT account_next_bill_date CHECK (billed_through < next_bill_date), 
	UNIQUE (number)
)
 WITH (fillfactor = 45)

-- next

COMMENT ON TABLE billing.account IS 'billing''s own copy of an account; dirty_from: earliest day late facts touch; taken_over_through: what a former system billed, never billed again'

-- next

CREATE TABLE billing.service (
	id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	product_id UUID NOT NULL, 
	billing_start TEXT NOT NULL, 
	PRIMARY KEY (id)
)

-- next

CREATE INDEX ix_billing_service_account_id ON billing.service (account_id)

-- next

CREATE TABLE billing.service_fact (
	service_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	recorded_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (service_id, kind, at)
)

-- next

COMMENT ON TABLE billing.service_fact IS 'what happened to a service; may arrive before its agreement, late and in any order'

-- next

CREATE TABLE billing.billable_period (
	service_id UUID NOT NULL, 
	n SMALLINT NOT NULL, 
	account_id UUID NOT NULL, 
	status TEXT NOT NULL, 
	from_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	to_at TIMESTAMP WITH TIME ZONE, 
	from_date DATE NOT NULL, 
	to_date DATE, 
	cause TEXT NOT NULL, 
	PRIMARY KEY (service_id, n), 
	CONSTRAINT billable_period_status CHECK (status in ('active', 'suspended')), 
	CONSTRAINT billable_period_order CHECK (to_at > from_at)
)

-- next

CREATE INDEX ix_billing_billable_period_account_id ON billing.billable_period (account_id)

-- next

COMMENT ON TABLE billing.billable_period IS 'derived from service_fact; dates are local dates of the account''s zone, half-open'

-- next

CREATE TABLE billing.agreement (
	id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	product_id UUID NOT NULL, 
	service_id UUID NOT NULL, 
	revision INTEGER NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	amount_micro BIGINT NOT NULL, 
	currency TEXT NOT NULL, 
	tax_category TEXT NOT NULL, 
	months SMALLINT NOT NULL, 
	in_advance BOOLEAN NOT NULL, 
	unit TEXT, 
	unit_octets BIGINT, 
	included_octets BIGINT, 
	credit_policy TEXT NOT NULL, 
	from_at TIMESTAMP WITH TIME ZONE, 
	to_at TIMESTAMP WITH TIME ZONE, 
	from_date DATE, 
	to_date DATE, 
	PRIMARY KEY (id), 
	CONSTRAINT agreement_revision UNIQUE (product_id, revision, code), 
	CONSTRAINT agreement_kind CHECK (kind in ('one_time', 'recurring', 'usage')), 
	CONSTRAINT agreement_months CHECK (months between 1 and 120)
)

-- next

CREATE INDEX ix_billing_agreement_account_id ON billing.agreement (account_id)

-- next

COMMENT ON TABLE billing.agreement IS 'one charge of one agreed price, frozen; from null: since billing starts'

-- next

CREATE TABLE billing.price_revision (
	product_id UUID NOT NULL, 
	revision INTEGER NOT NULL, 
	account_id UUID NOT NULL, 
	service_id UUID NOT NULL, 
	effective_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (product_id, revision)
)

-- next

COMMENT ON TABLE billing.price_revision IS 'when each revision of a product''s agreement begins; one without charges ends the product'

-- next

CREATE TABLE billing.usage (
	service_id UUID NOT NULL, 
	key TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	used_on DATE NOT NULL, 
	octets BIGINT NOT NULL, 
	PRIMARY KEY (service_id, key), 
	CONSTRAINT usage_octets CHECK (octets >= 0)
)

-- next

CREATE INDEX usage_day ON billing.usage (service_id, used_on)

-- next

COMMENT ON TABLE billing.usage IS 'counted once by its source key, however often it arrives'

-- next

CREATE TABLE billing.outage_credit (
	problem_id UUID NOT NULL, 
	service_id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	started_on DATE NOT NULL, 
	ended_on DATE NOT NULL, 
	PRIMARY KEY (problem_id, service_id), 
	CONSTRAINT outage_order CHECK (ended_at >= started_at)
)

-- next

CREATE INDEX ix_billing_outage_credit_account_id ON billing.outage_credit (account_id)

-- next

COMMENT ON TABLE billing.outage_credit IS 'an outage of a service that ended; what it is worth is decided by the run, by policy'

-- next

CREATE TABLE billing.early_fact (
	service_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	key TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	octets BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (service_id, kind, key), 
	CONSTRAINT early_fact_kind CHECK (kind in ('usage', 'outage'))
)

-- next

COMMENT ON TABLE billing.early_fact IS 'usage and outages of a service whose price is not agreed yet; taken up when it is'

-- next

CREATE TABLE billing.bill_run (
	id UUID NOT NULL, 
	bill_date DATE NOT NULL, 
	legal_entity_id UUID, 
	pass INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	policies JSONB NOT NULL, 
	shards INTEGER NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (id), 
	CONSTRAINT bill_run_state CHECK (state in ('drafting', 'posting', 'done'))
)

-- next

COMMENT ON TABLE billing.bill_run IS 'policies: the documents this run was judged by, frozen'

-- next

CREATE TABLE billing.bill_run_shard (
	run_id UUID NOT NULL, 
	n INTEGER NOT NULL, 
	first_account UUID NOT NULL, 
	last_account UUID NOT NULL, 
	state TEXT NOT NULL, 
	accounts INTEGER NOT NULL, 
	invoices INTEGER DEFAULT '0' NOT NULL, 
	parked INTEGER DEFAULT '0' NOT NULL, 
	total_minor BIGINT DEFAULT '0' NOT NULL, 
	draft_invoices BYTEA, 
	draft_lines BYTEA, 
	draft_facts BYTEA, 
	draft_moved BYTEA, 
	PRIMARY KEY (run_id, n), 
	CONSTRAINT bill_run_shard_state CHECK (state in ('pending', 'drafted', 'posted'))
)

-- next

COMMENT ON TABLE billing.bill_run_shard IS 'drafts are frozen frames as Arrow IPC, dropped once posted'

-- next

CREATE TABLE billing.number_block (
	run_id UUID NOT NULL, 
	shard INTEGER NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	invoices INTEGER NOT NULL, 
	first_number BIGINT, 
	PRIMARY KEY (run_id, shard, legal_entity_id), 
	CONSTRAINT number_block_invoices CHECK (invoices > 0)
)

-- next

COMMENT ON TABLE billing.number_block IS 'the numbers of a shard''s drafts, by account; given when all is drafted'

-- next

CREATE TABLE billing.number_series (
	legal_entity_id UUID NOT NULL, 
	series TEXT NOT NULL, 
	last_number BIGINT NOT NULL, 
	PRIMARY KEY (legal_entity_id, series)
)

-- next

COMMENT ON TABLE billing.number_series IS 'the highest number given away; every number up to it belongs to a document or to a frozen draft'

-- next

CREATE TABLE billing.parked_account (
	run_id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (run_id, account_id)
)

-- next

COMMENT ON TABLE billing.parked_account IS 'could not be billed; stays due, so that the next run takes it up again'

-- next

CREATE TABLE billing.run_fact (
	run_id UUID NOT NULL, 
	shard INTEGER NOT NULL, 
	key INTEGER NOT NULL, 
	cycle_day SMALLINT NOT NULL, 
	zone TEXT NOT NULL, 
	months SMALLINT NOT NULL, 
	in_advance BOOLEAN NOT NULL, 
	period_from DATE NOT NULL, 
	period_to DATE NOT NULL, 
	granularity TEXT NOT NULL, 
	rounding TEXT NOT NULL, 
	tax_point TEXT NOT NULL, 
	PRIMARY KEY (run_id, shard, key)
)

-- next

COMMENT ON TABLE billing.run_fact IS 'the conventions and reference periods shared by the lines of a shard: half of every derivation'

-- next

CREATE TABLE billing.invoice_number (
	legal_entity_id UUID NOT NULL, 
	series TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	invoice_id UUID NOT NULL, 
	issued_on DATE NOT NULL, 
	PRIMARY KEY (legal_entity_id, series, number), 
	UNIQUE (invoice_id)
)

-- next

COMMENT ON TABLE billing.invoice_number IS 'append-only and gapless per legal entity and series; written with the document'

-- next

CREATE TABLE billing.invoice (
	id UUID NOT NULL, 
	number TEXT NOT NULL, 
	account_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	revision SMALLINT NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	brand_id UUID NOT NULL, 
	run_id UUID, 
	shard INTEGER, 
	period_from DATE NOT NULL, 
	period_to DATE NOT NULL, 
	invoice_date DATE NOT NULL, 
	due_date DATE NOT NULL, 
	currency TEXT NOT NULL, 
	tax_class TEXT NOT NULL, 
	net_minor BIGINT NOT NULL, 
	tax_minor BIGINT NOT NULL, 
	total_minor BIGINT NOT NULL, 
	open_minor BIGINT NOT NULL, 
	posted_month DATE NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT invoice_total CHECK (total_minor = net_minor + tax_minor), 
	CONSTRAINT invoice_kind CHECK (kind in ('bill', 'opening'))
)

-- next

CREATE INDEX invoice_by_account ON billing.invoice (account_id, invoice_date)

-- next

CREATE INDEX invoice_credit ON billing.invoice (account_id) WHERE open_minor < 0

-- next

CREATE INDEX invoice_due ON billing.invoice (due_date) WHERE open_minor > 0

-- next

COMMENT ON TABLE billing.invoice IS 'posted documents only; nothing but open_minor ever changes. open < 0: credit still to be used'

-- next

CREATE TABLE billing.invoice_line (
	invoice_id UUID NOT NULL, 
	n INTEGER NOT NULL, 
	posted_month DATE NOT NULL, 
	kind TEXT NOT NULL, 
	agreement_id UUID NOT NULL, 
	source_id UUID, 
	period_from DATE NOT NULL, 
	period_to DATE NOT NULL, 
	served_from DATE NOT NULL, 
	served_to DATE NOT NULL, 
	fact_key INTEGER NOT NULL, 
	price_micro BIGINT NOT NULL, 
	numerator BIGINT NOT NULL, 
	denominator BIGINT NOT NULL, 
	quantity BIGINT, 
	included BIGINT, 
	share_ppm BIGINT, 
	owed_minor BIGINT NOT NULL, 
	billed_before_minor BIGINT NOT NULL, 
	net_minor BIGINT NOT NULL, 
	tax_ppm BIGINT NOT NULL, 
	tax_minor BIGINT NOT NULL, 
	PRIMARY KEY (invoice_id, n, posted_month), 
	CONSTRAINT invoice_line_net CHECK (net_minor = owed_minor - billed_before_minor)
)
 PARTITION BY RANGE (posted_month)

-- next

COMMENT ON TABLE billing.invoice_line IS 'a line and its derivation: typed columns, plus agreement and run_fact for what many lines share'

-- next

CREATE TABLE billing.ledger_entry (
	source_id UUID NOT NULL, 
	n SMALLINT NOT NULL, 
	posted_month DATE NOT NULL, 
	source_kind TEXT NOT NULL, 
	posted_on DATE NOT NULL, 
	legal_entity_id UUID NOT NULL, 
	account_id UUID, 
	ledger_account TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	PRIMARY KEY (source_id, n, posted_month), 
	CONSTRAINT ledger_entry_month CHECK (posted_on - posted_month between 0 and 30)
)
 PARTITION BY RANGE (posted_month)

-- next

COMMENT ON TABLE billing.ledger_entry IS 'double entry, debit positive; the source is the transaction, posted once (its id is derived)'

-- next

CREATE TABLE billing.payment (
	id UUID NOT NULL, 
	account_id UUID, 
	legal_entity_id UUID, 
	amount_minor BIGINT NOT NULL, 
	currency TEXT NOT NULL, 
	method TEXT NOT NULL, 
	reference TEXT NOT NULL, 
	received_on DATE NOT NULL, 
	source_key TEXT NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	unallocated_minor BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT payment_amount CHECK (amount_minor > 0), 
	CONSTRAINT payment_unallocated CHECK (unallocated_minor between 0 and amount_minor), 
	CONSTRAINT payment_state CHECK ((state = 'matched') = (account_id is not null)), 
	UNIQUE (source_key)
)

-- next

CREATE INDEX ix_billing_payment_account_id ON billing.payment (account_id)

-- next

CREATE INDEX payment_credit ON billing.payment (account_id) WHERE unallocated_minor > 0

-- next

COMMENT ON TABLE billing.payment IS 'unmatched ones are kept with the reason until someone assigns them'

-- next

CREATE TABLE billing.payment_file (
	sha256 TEXT NOT NULL, 
	name TEXT NOT NULL, 
	rows INTEGER NOT NULL, 
	matched INTEGER NOT NULL, 
	unmatched INTEGER NOT NULL, 
	imported_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	actor TEXT NOT NULL, 
	PRIMARY KEY (sha256)
)

-- next

CREATE TABLE billing.allocation (
	source_kind TEXT NOT NULL, 
	source_id UUID NOT NULL, 
	invoice_id UUID NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (source_kind, source_id, invoice_id), 
	CONSTRAINT allocation_amount CHECK (amount_minor > 0), 
	CONSTRAINT allocation_source CHECK (source_kind in ('payment', 'invoice'))
)

-- next

CREATE INDEX allocation_by_invoice ON billing.allocation (invoice_id)

-- next

COMMENT ON TABLE billing.allocation IS 'what settled what; a source is a payment or an invoice that came out negative'

-- next

CREATE TABLE billing.dunning_case (
	id UUID NOT NULL, 
	account_id UUID NOT NULL, 
	opened_on DATE NOT NULL, 
	step SMALLINT NOT NULL, 
	suspended BOOLEAN NOT NULL, 
	last_step_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	released_at TIMESTAMP WITH TIME ZONE, 
	PRIMARY KEY (id)
)

-- next

CREATE UNIQUE INDEX dunning_case_open ON billing.dunning_case (account_id) WHERE released_at is null

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "billing" TO "turnup_billing"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "billing" TO "turnup_billing"

-- next

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

-- next

create trigger ledger_entry_balances after insert on billing.ledger_entry referencing new table as posted for each statement execute function billing.ledger_balances()

-- next

create function billing.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'insufficient_privilege',
    message = concat(tg_table_schema, '.', tg_table_name, ' is insert-only; post a correction instead');
end $$

-- next

create trigger ledger_entry_insert_only before update or delete or truncate on billing.ledger_entry for each statement execute function billing.refuse_change()

-- next

create trigger invoice_line_insert_only before update or delete or truncate on billing.invoice_line for each statement execute function billing.refuse_change()

-- next

create trigger invoice_number_insert_only before update or delete or truncate on billing.invoice_number for each statement execute function billing.refuse_change()

-- next

create trigger allocation_insert_only before update or delete or truncate on billing.allocation for each statement execute function billing.refuse_change()

-- next

create trigger service_fact_insert_only before update or delete or truncate on billing.service_fact for each statement execute function billing.refuse_change()

-- next

create trigger run_fact_insert_only before update or delete or truncate on billing.run_fact for each statement execute function billing.refuse_change()

-- next

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

-- next

alter table billing.bill_run_shard alter column draft_invoices set storage external

-- next

alter table billing.bill_run_shard alter column draft_lines set storage external

-- next

alter table billing.bill_run_shard alter column draft_facts set storage external

-- next

alter table billing.bill_run_shard alter column draft_moved set storage external

-- next

revoke update, delete, truncate on billing.ledger_entry from turnup_billing

-- next

revoke update, delete, truncate on billing.invoice_line from turnup_billing

-- next

revoke update, delete, truncate on billing.invoice_number from turnup_billing

-- next

revoke update, delete, truncate on billing.allocation from turnup_billing

-- next

revoke update, delete, truncate on billing.service_fact from turnup_billing

-- next

revoke update, delete, truncate on billing.run_fact from turnup_billing

-- next

revoke update, delete, truncate on billing.invoice from turnup_billing

-- next

grant update (open_minor) on billing.invoice to turnup_billing

-- next

revoke execute on function billing.ensure_month(date) from public

-- next

grant execute on function billing.ensure_month(date) to turnup_billing

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_mediation') THEN CREATE ROLE "turnup_mediation" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_mediation" TO CURRENT_USER

-- next

CREATE SCHEMA "mediation"

-- next

GRANT USAGE ON SCHEMA "mediation" TO "turnup_mediation"

-- next

CREATE TABLE mediation.crosswalk (
	system TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	internal_id UUID NOT NULL, 
	PRIMARY KEY (system, kind, external_id)
)

-- next

CREATE INDEX crosswalk_internal ON mediation.crosswalk (kind, internal_id)

-- next

CREATE TABLE mediation.applied (
	system TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	row_hash TEXT NOT NULL, 
	applied_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (system, kind, external_id)
)

-- next

CREATE TABLE mediation.quarantine (
	source TEXT NOT NULL, 
	row INTEGER NOT NULL, 
	field TEXT, 
	reason TEXT NOT NULL, 
	remedy TEXT, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (source, row)
)

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "mediation" TO "turnup_mediation"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "mediation" TO "turnup_mediation"

-- next

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'turnup_reconciliation') THEN CREATE ROLE "turnup_reconciliation" NOLOGIN; END IF; END $$

-- next

GRANT "turnup_reconciliation" TO CURRENT_USER

-- next

CREATE SCHEMA "reconciliation"

-- next

GRANT USAGE ON SCHEMA "reconciliation" TO "turnup_reconciliation"

-- next

CREATE TABLE reconciliation.finding (
	finding_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	service_id UUID NOT NULL, 
	element TEXT NOT NULL, 
	service_number TEXT, 
	detail TEXT NOT NULL, 
	monthly_minor BIGINT NOT NULL, 
	currency TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	repair TEXT NOT NULL, 
	safe BOOLEAN NOT NULL, 
	found_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	seen_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	repaired_at TIMESTAMP WITH TIME ZONE, 
	repaired_by TEXT, 
	dismissed_at TIMESTAMP WITH TIME ZONE, 
	dismissed_by TEXT, 
	dismissed_reason TEXT, 
	PRIMARY KEY (finding_id)
)

-- next

CREATE INDEX finding_found ON reconciliation.finding (found_at)

-- next

CREATE UNIQUE INDEX finding_open ON reconciliation.finding (kind, service_id, element) WHERE repaired_at IS NULL

-- next

COMMENT ON TABLE reconciliation.finding IS 'a dismissed finding stays, silent, until its mismatch is gone; then it may be found anew'

-- next

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "reconciliation" TO "turnup_reconciliation"

-- next

GRANT USAGE ON ALL SEQUENCES IN SCHEMA "reconciliation" TO "turnup_reconciliation"
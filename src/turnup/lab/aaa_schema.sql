-- The AAA server's own small database. Provisioning writes aaa.subscriber; the AAA server reads it and writes
-- accounting and reject. FreeRADIUS with rlm_sql can serve from these tables. Safe to run again.
SELECT pg_advisory_xact_lock(7152001);
CREATE SCHEMA IF NOT EXISTS aaa;

CREATE TABLE IF NOT EXISTS aaa.subscriber (
  username   text PRIMARY KEY,
  secret     text NOT NULL,
  ipv4       inet,
  ipv6_wan   cidr,
  ipv6_pd    cidr,
  down_kbps  int NOT NULL CHECK (down_kbps > 0),
  up_kbps    int NOT NULL CHECK (up_kbps > 0),
  state      text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'walled', 'disabled')),
  generation bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  key        text UNIQUE
);
COMMENT ON COLUMN aaa.subscriber.key IS 'what the provisioning system calls it; null: made by somebody else';

-- the newest order seen of each key outlives its row, so that a late writer cannot bring back what was removed
CREATE TABLE IF NOT EXISTS aaa.fence (
  key        text PRIMARY KEY,
  generation bigint NOT NULL
);

-- octets: input = the subscriber's upload, Gigawords folded in
CREATE TABLE IF NOT EXISTS aaa.accounting (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_at     timestamptz NOT NULL DEFAULT now(),
  nas             text NOT NULL,
  session_id      text NOT NULL,
  username        text,
  status          text NOT NULL CHECK (status IN ('start', 'interim', 'stop', 'on', 'off')),
  event_at        timestamptz NOT NULL,
  session_time_s  int NOT NULL DEFAULT 0,
  input_octets    bigint NOT NULL DEFAULT 0,
  output_octets   bigint NOT NULL DEFAULT 0,
  framed_ipv4     inet,
  terminate_cause text,
  circuit_id      text,
  UNIQUE (nas, session_id, status, session_time_s)
);

CREATE TABLE IF NOT EXISTS aaa.reject (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       timestamptz NOT NULL DEFAULT now(),
  username text NOT NULL,
  reason   text NOT NULL
);
CREATE INDEX IF NOT EXISTS reject_username ON aaa.reject (username, id);

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
DROP INDEX IF EXISTS aaa.accounting_username;  -- of earlier versions; nobody asked by it, every packet paid for it

CREATE TABLE IF NOT EXISTS aaa.reject (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       timestamptz NOT NULL DEFAULT now(),
  username text NOT NULL,
  reason   text NOT NULL
);
CREATE INDEX IF NOT EXISTS reject_username ON aaa.reject (username, id);

-- What an AAA server runs: one query per request. It is a role that may call these and read no table (grants at
-- the end, to the role aaa_server where there is one). In PL/pgSQL, which keeps its plans for the length of a
-- connection; PostgreSQL before 18 plans a function in SQL anew at every call. `data_key` opens secrets that are stored encrypted (pgcrypto).
CREATE OR REPLACE FUNCTION aaa.closed(secret text, data_key text) RETURNS text
LANGUAGE plpgsql SET search_path = aaa, public, pg_temp AS $$
BEGIN
  IF coalesce(data_key, '') = '' THEN
    RETURN secret;
  END IF;
  -- the key is random and long: a slow derivation would protect nothing
  RETURN 'pgp:' || encode(pgp_sym_encrypt(secret, data_key, 's2k-mode=1, cipher-algo=aes256'), 'base64');
END $$;

CREATE OR REPLACE FUNCTION aaa.opened(secret text, data_key text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = aaa, public, pg_temp AS $$
BEGIN
  IF left(secret, 4) <> 'pgp:' THEN
    RETURN secret;
  END IF;
  RETURN pgp_sym_decrypt(decode(substr(secret, 5), 'base64'), data_key);
END $$;

-- check items of rlm_sql (id, username, attribute, value, op); no row: unknown
CREATE OR REPLACE FUNCTION aaa.authorize(wanted text, data_key text)
RETURNS TABLE (id int, username text, attribute text, value text, op text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = aaa, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT 1, s.username, a.attribute, a.value, ':='
  FROM aaa.subscriber s CROSS JOIN LATERAL (VALUES
    ('Cleartext-Password', aaa.opened(s.secret, data_key)),
    ('Auth-Type', CASE s.state WHEN 'disabled' THEN 'Reject' END),
    ('Framed-IP-Address', host(s.ipv4)),
    ('Framed-IPv6-Prefix', s.ipv6_wan::text),
    ('Delegated-IPv6-Prefix', s.ipv6_pd::text),
    ('WISPr-Bandwidth-Max-Down', (s.down_kbps::bigint * 1000)::text),
    ('WISPr-Bandwidth-Max-Up', (s.up_kbps::bigint * 1000)::text),
    ('Filter-Id', CASE s.state WHEN 'walled' THEN 'walled' END),
    ('Class', '0x' || encode(convert_to('generation:' || s.generation, 'UTF8'), 'hex'))
  ) AS a (attribute, value)
  WHERE s.username = wanted AND a.value IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION aaa.account(
  nas_name text, nas_address text, session text, wanted text, kind text, at_epoch bigint, time_s int,
  upload bigint, download bigint, address text, cause text, circuit text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = aaa, pg_temp AS $$
BEGIN
  INSERT INTO aaa.accounting (nas, session_id, username, status, event_at, session_time_s, input_octets,
                              output_octets, framed_ipv4, terminate_cause, circuit_id)
  VALUES (coalesce(nullif(nas_name, ''), nas_address),
          -- the NAS's own words are told apart by their time: it restarts more than once
          CASE WHEN kind IN ('on', 'off') THEN 'nas@' || at_epoch ELSE session END, nullif(wanted, ''), kind,
          to_timestamp(at_epoch), time_s, upload, download, nullif(address, '')::inet, nullif(cause, ''),
          nullif(circuit, ''))
  ON CONFLICT (nas, session_id, status, session_time_s) DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION aaa.note_reject(wanted text, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = aaa, pg_temp AS $$
BEGIN
  INSERT INTO aaa.reject (username, reason)
  VALUES (wanted, coalesce(nullif(note_reject.reason, ''), 'rejected'));
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA aaa FROM PUBLIC;
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aaa_server') THEN
    GRANT USAGE ON SCHEMA aaa TO aaa_server;
    GRANT EXECUTE ON FUNCTION aaa.authorize(text, text), aaa.note_reject(text, text),
      aaa.account(text, text, text, text, text, bigint, int, bigint, bigint, text, text, text) TO aaa_server;
  END IF;
END $$;

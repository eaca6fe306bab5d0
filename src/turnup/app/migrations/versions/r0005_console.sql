CREATE INDEX party_name_words ON crm.party USING gin (to_tsvector('simple'::regconfig, name))

-- next

CREATE INDEX contact_email ON crm.contact (lower(value)) WHERE kind = 'email'

-- next

CREATE INDEX contact_phone_backwards ON crm.contact (reverse(regexp_replace(value, '[^0-9]', '', 'g')) text_pattern_ops) WHERE kind = 'phone'

-- next

CREATE INDEX session_live_address ON monitoring.session (framed_ipv4) WHERE ended_at IS NULL

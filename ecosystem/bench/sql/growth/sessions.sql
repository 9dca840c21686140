-- Sessions number $1 to $2 that are linked and stopped; each connected one needs them, too.
WITH added AS (
    INSERT INTO wa.session (name, tenant, status, jid)
    SELECT 'growth' || n, 'default', 'stopped', n || ':1@s.whatsapp.net' FROM generate_series($1::bigint, $2) n
    RETURNING session_id
), leased AS (
    INSERT INTO wa.lease (session_id) SELECT session_id FROM added
)
INSERT INTO wa.sending (session_id) SELECT session_id FROM added

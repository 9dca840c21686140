-- Encrypts the addresses of proxies of sessions $1 again: writes $3 where they still are $2. Their age stays. Locks
-- those rows; skips rows that are being written.
WITH free AS MATERIALIZED (
    -- The rows that nobody else is writing.
    SELECT p.session_id, item.old, item.new
    FROM wa.proxy p JOIN unnest($1::bigint[], $2::jsonb[], $3::jsonb[]) AS item (session_id, old, new) USING (session_id)
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE wa.proxy p SET url = free.new
FROM free WHERE p.session_id = free.session_id AND p.url = free.old

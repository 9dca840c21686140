-- Encrypts credentials of sessions $1 again: writes $3 where they still are $2. Their age stays. Locks those rows;
-- skips rows that are being written.
WITH free AS MATERIALIZED (
    -- The rows that nobody else is writing.
    SELECT a.session_id, item.old, item.new
    FROM wa.auth a JOIN unnest($1::bigint[], $2::jsonb[], $3::jsonb[]) AS item (session_id, old, new) USING (session_id)
    FOR UPDATE OF a SKIP LOCKED
)
UPDATE wa.auth a SET creds = free.new
FROM free WHERE a.session_id = free.session_id AND a.creds = free.old

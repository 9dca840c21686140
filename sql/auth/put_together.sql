-- Writes keys of several sessions, new or not, one array element for each: session, epoch, kind, id, value, and the time
-- to live in seconds (null: for ever). Returns the sessions that are held under these epochs, and whose keys are written.
-- Share-locks their leases and leaves out those that somebody has locked; locks the rows in order.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::float8[])
        AS i (session_id, epoch, kind, key_id, value, seconds)
), held AS MATERIALIZED (
    SELECT l.session_id FROM wa.lease l JOIN (SELECT DISTINCT session_id, epoch FROM input) i USING (session_id, epoch)
    WHERE l.holder IS NOT NULL FOR SHARE OF l SKIP LOCKED
), written AS (
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT session_id, kind, key_id, value, clock_timestamp() + make_interval(secs => seconds)
    FROM input JOIN held USING (session_id)
    ORDER BY session_id, kind, key_id
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = EXCLUDED.value, expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
)
SELECT ARRAY(SELECT session_id FROM held) AS "held!"

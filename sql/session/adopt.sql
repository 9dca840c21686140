-- Takes the leases of free sessions that are wished connected and can be, first those that are to be here, then up to the
-- share of worker $1, at most $2 of them, and queues the job that goes on with each, unless one waits already, perhaps for
-- a rest to end. What a dead worker left is corrected first (reset_stale). Locks those leases; what another worker is just
-- taking is skipped.
WITH free AS (
    SELECT l.session_id, s.name, s.linked
    FROM wa.lease l JOIN wa.connectable s USING (session_id)
    WHERE l.holder IS NULL AND NOT wa.needs_holder(s.status) AND (l.wanted IS NULL OR l.wanted = $1)
    ORDER BY l.wanted, l.session_id
    LIMIT least($2, greatest(
        wa.share($1) - (SELECT count(*) FROM wa.lease held WHERE held.holder = $1),
        (SELECT count(*) FROM wa.lease moved WHERE moved.holder IS NULL AND moved.wanted = $1)))
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    UPDATE wa.lease l SET holder = $1, epoch = l.epoch + 1, taken_at = now()
    FROM free WHERE l.session_id = free.session_id
    RETURNING l.session_id, free.name, free.linked
)
INSERT INTO wa.session_job (session, kind, reason)
SELECT name, CASE WHEN linked THEN 'connect' ELSE 'passkey' END, 'adopted' FROM taken
WHERE NOT EXISTS (
    SELECT FROM wa.session_job j
    WHERE j.session_id = taken.session_id AND j.status = 'queued' AND j.kind IN ('link', 'connect', 'reconnect', 'passkey'))
ON CONFLICT DO NOTHING

-- Takes the leases of free sessions that should be connected and can be: first those that should be on worker $1, then
-- up to the worker's share, at most $2. Queues the job that continues with each, unless one waits already, perhaps for
-- a rest to end. reset_stale has corrected before what a dead worker left. Locks those leases; skips leases that
-- another worker is taking.
WITH free AS (
    -- Free sessions that this worker takes.
    SELECT l.session_id, s.name, s.linked
    FROM wa.lease l JOIN wa.connectable s USING (session_id)
    WHERE l.holder IS NULL AND NOT wa.needs_holder(s.status) AND (l.wanted IS NULL OR l.wanted = $1)
    ORDER BY l.wanted, l.session_id
    LIMIT least($2, greatest(
        wa.share($1) - (SELECT count(*) FROM wa.lease held WHERE held.holder = $1),
        (SELECT count(*) FROM wa.lease moved WHERE moved.holder IS NULL AND moved.wanted = $1)))
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    -- Their leases, under a new epoch.
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

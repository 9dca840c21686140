-- Takes the leases of free sessions that should be connected and can be: first those that should be on worker $1, then
-- up to the worker's share, at most $2. Queues the job that continues with each, unless one waits already, perhaps for
-- a rest to end. Beside a connect that is scheduled for later, that job is a reconnect, because of each kind one waits.
-- reset_stale has corrected before what a dead worker left. After a failover it takes nothing before a heartbeat has noticed
-- that, and the workers of the time before have stopped. Locks those leases and the rows of the sessions, with which
-- nobody else queues such a job; skips what another worker or an application has locked.
WITH free AS (
    -- Free sessions that this worker takes.
    SELECT l.session_id, s.name, s.linked
    FROM wa.lease l JOIN wa.connectable s USING (session_id) JOIN wa.session own USING (session_id)
    LEFT JOIN wa.wanted w USING (session_id)
    WHERE NOT EXISTS (SELECT FROM wa.auth_home k WHERE k.free_at > now() OR wa.home_change(k) IS NOT NULL)
      AND l.holder IS NULL AND NOT wa.needs_holder(s.status) AND (w.worker_id IS NULL OR w.worker_id = $1)
    ORDER BY w.worker_id, l.session_id
    -- Sessions that are being linked do not count as a part of the share, which is of linked ones, but take room.
    LIMIT least($2, greatest(
        (SELECT least(wa.share($1) - count(c.session_id), wa.room($1))
         FROM wa.lease held LEFT JOIN wa.connectable c USING (session_id) WHERE held.holder = $1),
        (SELECT count(*) FROM wa.lease moved JOIN wa.wanted USING (session_id) WHERE moved.holder IS NULL AND worker_id = $1)))
    FOR NO KEY UPDATE OF l, own SKIP LOCKED
), taken AS (
    -- Their leases, under a new epoch.
    UPDATE wa.lease l SET holder = $1, epoch = wa.next_epoch(l.epoch), taken_at = now()
    FROM free WHERE l.session_id = free.session_id
    RETURNING l.session_id, free.name, free.linked
)
INSERT INTO wa.session_job (session, kind, reason)
SELECT name, CASE
        WHEN NOT linked THEN 'passkey'
        WHEN EXISTS (SELECT FROM wa.session_job j WHERE j.session_id = taken.session_id AND j.status = 'queued' AND j.kind = 'connect')
        THEN 'reconnect'
        ELSE 'connect'
    END, 'adopted'
FROM taken
WHERE NOT EXISTS (
    SELECT FROM wa.session_job j
    WHERE j.session_id = taken.session_id AND j.status = 'queued' AND NOT j.action AND wa.will_connect(j, taken.linked))
ON CONFLICT DO NOTHING

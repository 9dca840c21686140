-- Ends workers whose lease has expired, and those that registered before a restore: their sessions and jobs are free.
-- Skips a worker whose heartbeat is under way, so a live worker is never ended, and leases that somebody has locked.
-- Returns how many workers it found, and what worker $1 has to look at. unsettled: messages of earlier holds wait to be
-- returned to the queue (settle.sql). free: sessions without a holder wait for a state that is true (reset_stale.sql) or for a
-- holder (adopt.sql); not known when workers were found. crew, held, moves: when they change, the worker may hold more than
-- its share (surplus.sql). Reads the sessions that want something, not all. Locks the rows of those workers and their leases,
-- and what wa.settle locks; waits for no application.
WITH dead AS MATERIALIZED (
    -- Dead workers.
    SELECT worker_id FROM wa.worker
    WHERE lease_until < now() OR home <> (SELECT k.home FROM wa.auth_home k)
    FOR UPDATE SKIP LOCKED
)
SELECT (SELECT count(wa.end_worker(worker_id)) FROM dead) AS "workers!",
       EXISTS (SELECT FROM wa.lease WHERE unsettled) AS "unsettled!",
       EXISTS (
           SELECT FROM wa.session s
           -- As the index session_wanted.
           WHERE (s.desired = 'connected' OR s.status IN ('linking', 'connecting', 'connected'))
             -- A look-up each, not a join, which may read all leases.
             AND (SELECT l.holder FROM wa.lease l WHERE l.session_id = s.session_id) IS NULL
             AND (s.status IN ('linking', 'connecting', 'connected', 'disconnected') OR s.jid IS NOT NULL
                  OR EXISTS (SELECT FROM wa.connectable c WHERE c.session_id = s.session_id))
       ) AS "free!",
       (SELECT string_agg(w.worker_id || ' ' || w.max_sessions || ' ' || w.draining, ',' ORDER BY w.worker_id)
        FROM wa.worker w WHERE w.lease_until > now()) AS crew,
       (SELECT count(*) FROM wa.lease l WHERE l.holder = $1) AS "held!",
       (SELECT count(*) || ' ' || max(r.requested_at) FROM wa.move_request r) AS moves

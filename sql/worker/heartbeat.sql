-- Moves worker $1's lease forward by $2 seconds, unless it has expired (a late worker stays dead), or the database is
-- no longer the same (after a failover or a restore), and writes the memory of the process in MB ($4) and, if $5, which
-- connection this is. Counts the heartbeat of process $3. Returns whether the worker should drain, when to check its
-- sessions, the number of heartbeats, and the workers whose connection is gone (P6). Locks those two rows, which workers alone
-- lock. Each parameter occurs once, so none has a name.
WITH beat AS (
    -- The worker.
    UPDATE wa.worker w
    SET lease_until = now() + $2::float8 * interval '1 second', memory_mb = $4, beat_at = now(),
        (backend_pid, backend_started) = (SELECT a.pid, a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) a WHERE $5)
    WHERE w.worker_id = $1 AND w.lease_until > now()
      AND (SELECT k.home = w.home AND wa.home_change(k) IS NULL FROM wa.auth_home k)
    RETURNING w.worker_id, w.draining, w.check_at
), counted AS (
    -- The number of heartbeats, by which the process notices that the database went back in time.
    UPDATE wa.witness c SET beats = c.beats + 1, seen_at = now() FROM beat WHERE c.witness = $3 RETURNING c.beats
)
SELECT beat.draining OR EXISTS (SELECT FROM wa.drain_request r WHERE r.worker_id = beat.worker_id) AS "draining!",
       beat.check_at, counted.beats AS "beats!",
       ARRAY(SELECT o.worker_id FROM wa.worker o
             WHERE o.worker_id <> beat.worker_id AND o.lease_until > now() AND wa.has_hung_up(o)) AS "gone!"
FROM beat CROSS JOIN counted

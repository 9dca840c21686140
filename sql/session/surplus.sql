-- Sessions that worker $1 should give to others, at most $2: those that should be elsewhere, and beyond its share
-- those that it took last. Sessions that are being linked or connected stay, and so do those that should be here; a
-- worker that drains gives all back by itself. Locks nothing.
WITH mine AS (
    -- Sessions that this worker holds.
    SELECT l.session_id, l.epoch, l.taken_at, wanted.worker_id AS wanted, s.status
    FROM wa.lease l JOIN wa.connectable s USING (session_id) JOIN wa.worker w ON w.worker_id = l.holder
    LEFT JOIN wa.wanted ON wanted.session_id = l.session_id
    WHERE l.holder = $1 AND NOT w.draining
), surplus AS (
    -- Those beyond its share.
    SELECT session_id, epoch FROM mine
    WHERE status = 'connected' AND wanted IS NULL
    ORDER BY taken_at DESC, session_id DESC
    LIMIT least($2::int8, greatest((SELECT count(*) FROM mine) - wa.share($1), 0))
)
SELECT session_id AS "session_id!", epoch AS "epoch!" FROM surplus
UNION ALL
SELECT session_id, epoch FROM mine WHERE wanted <> $1 AND status = 'connected'

-- Corrects what a dead or stopped worker left behind: a session without a holder is not connecting, linking or
-- connected. A session that was being linked gets a new link job. Locks the leases and session rows that it corrects;
-- leaves rows that others have locked to the next turn.
WITH free AS (
    -- Sessions without a holder in a state that needs one, and sessions that should be linked.
    SELECT l.session_id, s.name, s.jid IS NULL AND s.desired = 'connected'
        AND NOT EXISTS (SELECT FROM wa.connectable c WHERE c.session_id = s.session_id) AS to_link
    FROM wa.lease l JOIN wa.session s USING (session_id)
    -- The first condition is that of the index session_wanted.
    WHERE (s.desired = 'connected' OR s.status IN ('linking', 'connecting', 'connected'))
      AND l.holder IS NULL
      AND (s.status IN ('linking', 'connecting', 'connected')
           OR s.status = 'disconnected' AND s.jid IS NULL AND s.desired = 'connected')
    FOR UPDATE OF l SKIP LOCKED
    FOR NO KEY UPDATE OF s SKIP LOCKED
), corrected AS (
    -- The same with a state that is true.
    UPDATE wa.session s
    SET status = CASE WHEN s.jid IS NULL AND s.status IN ('linking', 'disconnected') THEN 'new' ELSE 'disconnected' END::wa.session_status,
        status_reason = 'the worker that held it is gone', status_code = 'worker_gone'
    FROM free WHERE s.session_id = free.session_id
)
INSERT INTO wa.session_job (session, kind, reason)
SELECT name, 'link', 'the worker that held it is gone' FROM free WHERE to_link
ON CONFLICT DO NOTHING

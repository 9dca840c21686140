-- Corrects what a dead or stopped worker left behind: a session without holder is not connecting, linking or connected.
-- One that was to be linked is linked on by whoever is there. What somebody else holds locked is left to the next turn.
-- Locks the leases and session rows that it corrects.
WITH free AS (
    SELECT l.session_id, s.name, s.jid IS NULL AND s.desired = 'connected'
        AND NOT EXISTS (SELECT FROM wa.connectable c WHERE c.session_id = s.session_id) AS to_link
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.holder IS NULL
      AND (wa.needs_holder(s.status)
           OR s.status = 'disconnected' AND s.jid IS NULL AND s.desired = 'connected')
    FOR UPDATE OF l SKIP LOCKED
    FOR NO KEY UPDATE OF s SKIP LOCKED
), corrected AS (
    UPDATE wa.session s
    SET status = CASE WHEN s.jid IS NULL AND s.status IN ('linking', 'disconnected') THEN 'new' ELSE 'disconnected' END::wa.session_status,
        status_reason = 'the worker that held it is gone'
    FROM free WHERE s.session_id = free.session_id
)
INSERT INTO wa.session_job (session, kind, reason)
SELECT name, 'link', 'the worker that held it is gone' FROM free WHERE to_link
ON CONFLICT DO NOTHING

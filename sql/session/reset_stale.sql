-- Corrects what a dead worker left behind: a session without holder is not connecting, linking or connected. A lease
-- that is just being taken is skipped. Locks the leases and session rows that it corrects.
WITH free AS (
    SELECT l.session_id
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.holder IS NULL AND s.status IN ('linking', 'connecting', 'connected')
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE wa.session s
SET status = CASE WHEN EXISTS (SELECT FROM wa.auth a WHERE a.session_id = s.session_id) AND s.jid IS NOT NULL
                  THEN 'disconnected' ELSE 'new' END::wa.session_status,
    status_reason = 'the worker that held it is gone', status_at = now(), qr = NULL, qr_expires_at = NULL
FROM free WHERE s.session_id = free.session_id

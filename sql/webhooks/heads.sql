-- Deliveries of webhook $1 that others of their chat wait for: those that are to be tried again, and those whose request
-- was composed already. Locks nothing.
SELECT id AS "id!", session_id, chat AS "chat!" FROM wa.delivery WHERE webhook_id = $1 AND status = 'queued' AND attempts > 0
UNION
SELECT id, session_id, chat FROM wa.delivery WHERE webhook_id = $1 AND status = 'queued' AND batch IS NOT NULL

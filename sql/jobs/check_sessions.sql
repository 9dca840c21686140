-- Asks every live worker to check its sessions. Returns how many workers were asked and how many sessions are
-- connected. Locks the rows of the workers.
WITH asked AS (
    -- The workers that will check their sessions.
    UPDATE wa.worker SET check_at = now() WHERE lease_until > now() RETURNING worker_id
), announced AS (
    -- The notification that wakes them.
    SELECT pg_notify('wa_work', 'leases')
)
SELECT (SELECT count(*) FROM asked) AS "workers!", (SELECT count(*) FROM wa.session WHERE status = 'connected') AS "sessions!"
FROM announced

-- Takes the leases of up to $2 free sessions that are linked and wished connected, for worker $1, and queues the job
-- that connects each. Locks those leases; what another worker is just taking is skipped.
WITH free AS (
    SELECT l.session_id, s.name
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.holder IS NULL AND s.desired = 'connected' AND s.jid IS NOT NULL
    ORDER BY l.session_id
    LIMIT $2
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    UPDATE wa.lease l SET holder = $1, epoch = l.epoch + 1, taken_at = now()
    FROM free WHERE l.session_id = free.session_id
    RETURNING l.session_id, free.name
)
INSERT INTO wa.session_job (session, kind, reason) SELECT name, 'connect', 'adopted' FROM taken
ON CONFLICT DO NOTHING

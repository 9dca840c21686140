-- Gives every lease to the only worker, and sets sessions to linking, from where they may connect. Locks the leases and
-- the sessions.
WITH held AS (
    UPDATE wa.lease SET holder = (SELECT worker_id FROM wa.worker), epoch = epoch + 1, taken_at = now()
    RETURNING session_id, epoch
), begun AS (
    UPDATE wa.session s SET status = 'linking' FROM held WHERE s.session_id = held.session_id AND s.status IN ('new', 'disconnected')
)
SELECT session_id, epoch FROM held

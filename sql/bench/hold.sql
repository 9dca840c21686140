-- Gives every lease to the one worker that there is, and says that its sessions are connected, which takes a socket
-- otherwise. Locks the leases and the sessions.
WITH held AS (
    UPDATE wa.lease SET holder = (SELECT worker_id FROM wa.worker), epoch = epoch + 1, taken_at = now()
    RETURNING session_id, epoch
), connected AS (
    UPDATE wa.session s SET status = 'connected', status_at = now(), connected_at = now()
    FROM held WHERE s.session_id = held.session_id
)
SELECT session_id, epoch FROM held

-- The worker $1 holds the sessions whose number is at most $2. Returns them and their epochs.
UPDATE wa.lease l SET holder = $1, epoch = l.epoch + 1
FROM wa.session s WHERE s.session_id = l.session_id AND substr(s.name, 7)::bigint <= $2
RETURNING l.session_id, l.epoch

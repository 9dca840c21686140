-- Closes sessions that should have been connected for $1 minutes and are still not linked, and those whose pages of the
-- marketplace have all gone, if no web process has done so for five minutes. Returns how many. Locks the sessions' rows; skips
-- sessions that somebody else has locked, for the next run.
SELECT count(wa.close(idle.name, 'not linked within ' || $1::int4 || ' minutes')) + wa.close_unwatched('5 minutes') AS "closed!"
FROM (
    SELECT s.name FROM wa.session s
    WHERE s.jid IS NULL AND s.desired = 'connected' AND s.wished_at < now() - $1::int4 * interval '1 minute'
    FOR NO KEY UPDATE SKIP LOCKED
) idle

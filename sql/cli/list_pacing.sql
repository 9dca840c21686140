-- The pacing of session $1 or of all that have one. Locks nothing.
SELECT s.name AS session, p.per_minute, p.burst, extract(epoch FROM p.jitter)::float8 AS "jitter!", p.first_contacts,
       to_char(p.quiet_from, 'HH24:MI') AS quiet_from, to_char(p.quiet_until, 'HH24:MI') AS quiet_until, p.time_zone, p.typing
FROM wa.pacing p JOIN wa.session s USING (session_id)
WHERE $1::text IS NULL OR s.name = $1 ORDER BY s.name

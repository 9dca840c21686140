-- Sets the state that the running job $3 of session $1 wants, under epoch $2: it was scheduled for later than its INSERT.
-- Share-locks the lease; locks the session's row, without waiting, and the jobs that this one supersedes.
WITH own AS MATERIALIZED (
    -- The session's row. An error at once when an application has locked it: the job comes again (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
)
SELECT wa.set_wish(j)::text AS wish
FROM own JOIN wa.lease l USING (session_id) JOIN wa.session_job j USING (session_id)
WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL AND j.id = $3 AND j.status = 'running'
FOR SHARE OF l

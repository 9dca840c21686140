-- Writes result $3 of the running action $4 of session $1, under epoch $2. Share-locks the lease; locks the job.
UPDATE wa.session_job j SET result = $3
FROM (SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE) held
WHERE j.id = $4 AND j.session_id = held.session_id AND j.status = 'running'

-- What `wagres jobs retry --table session` calls.
SELECT wa.retry_session_job($1) AS job

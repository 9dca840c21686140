-- What `wagres jobs cancel --table session` calls.
SELECT wa.cancel_session_job($1) AS job

-- All of session job $1. Locks nothing.
SELECT to_jsonb(j) AS row FROM wa.session_job j WHERE id = $1

-- What the pages of the companies $1 show now, which have the numbers $2 at the partner. With seconds in $3 renews their rows in wa.company_watch, which it locks; only
-- other web processes and the sweep of expired rows lock them, for a moment.
SELECT company_id AS "company_id!", salon_id AS "salon_id!", session AS "session!", status AS "status!", status_reason, is_wanted AS "is_wanted!", phone,
       link_phone, qr, qr_seconds, code, code_seconds, job_id, job_status, job_error, connection_end
FROM wa.company_pages($1, $2, $3)

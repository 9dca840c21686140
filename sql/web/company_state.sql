-- What a program is shown of company $1, which must have the number $2 at the partner unless that is null; no row without
-- one. Locks nothing.
SELECT salon_id AS "salon_id!", session AS "session!", name, business_type, status AS "status!", session_status AS "session_status!",
       status_reason, phone, qr, qr_seconds, code, code_seconds, link_phone, connected_at, activated_at, job_error, call_status,
       call_error
FROM wa.company_state($1, $2)

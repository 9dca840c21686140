-- What a program is shown of company $1; no row without one. Locks nothing.
SELECT salon_id AS "salon_id!", session AS "session!", name, business_type, status AS "status!", session_status AS "session_status!",
       status_reason, phone, qr, qr_expires_at, code, code_expires_at, link_phone, connected_at, activated_at, job_error, call_status,
       call_error
FROM wa.company_state($1)

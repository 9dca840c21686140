-- What the page of a link shows now.
SELECT state AS "state!", session, status, status_reason, phone, qr, qr_expires_at, code, code_expires_at, passkey_stage,
       passkey_request, passkey_code, passkey_error, job_status, job_error, expires_at, advice
FROM wa.link_page($1)

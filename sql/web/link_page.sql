-- What the page of a link shows now.
SELECT state AS "state!", session, status, phone, qr, qr_expires_at, code, code_expires_at, passkey_stage, passkey_request, passkey_code,
       job_status, expires_at, ended
FROM wa.link_page($1)

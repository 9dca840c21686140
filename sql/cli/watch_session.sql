-- Status of session $1, of its job $2, and of its passkey linking. Locks nothing.
SELECT s.status::text AS "status!", s.status_reason, s.desired = 'stopped' AS "stopped!", s.phone, s.qr, s.qr_expires_at, s.code, s.code_expires_at, j.status::text AS "job!", j.last_error,
       p.stage AS "stage?", p.request AS "request?", p.code AS passkey_code, p.error
FROM wa.session s JOIN wa.session_job j ON j.id = $2 LEFT JOIN wa.passkey p ON p.session_id = s.session_id AND p.stage <> 'done'
WHERE s.name = $1

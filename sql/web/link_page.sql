-- What the page of a link shows now; company_status is that of the company whose phone it links, if it is one's.
SELECT p.state AS "state!", p.session, p.status, p.status_reason, p.phone, p.qr, p.qr_expires_at, p.code, p.code_expires_at, p.passkey_stage,
       p.passkey_request, p.passkey_code, p.passkey_error, p.passkey_expires_at, p.job_status, p.expires_at, p.ended, c.status AS "company_status?"
FROM wa.link_page($1) p LEFT JOIN wa.company_of_link($1) c ON true

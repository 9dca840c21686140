-- Keeps values that could not be imported into session $1, unchanged: kinds $2, ids $3, values $4, reasons $5. Locks
-- no row that exists.
INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
SELECT $1, r.* FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::text[]) AS r

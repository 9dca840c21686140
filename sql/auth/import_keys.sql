-- Writes imported keys of session $1: kinds $2, ids $3, values $4.
INSERT INTO wa.auth_key (session_id, kind, key_id, value)
SELECT $1, kind, key_id, value FROM unnest($2::text[], $3::text[], $4::jsonb[]) AS k (kind, key_id, value)

-- Writes imported keys of session $1: kinds $2, ids $3, values $4, deadlines $5. Locks no row that exists.
INSERT INTO wa.auth_key (session_id, kind, key_id, value, expires_at)
SELECT $1, k.* FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::timestamptz[]) AS k

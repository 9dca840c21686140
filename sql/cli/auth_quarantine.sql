-- Quarantined values of session $1 or of all, without the values themselves. Locks nothing.
SELECT q.id, s.name AS session, q.kind, q.key_id, q.reason, q.created_at, q.expires_at
FROM wa.auth_quarantine q JOIN wa.session s USING (session_id)
WHERE $1::text IS NULL OR s.name = $1 ORDER BY q.id

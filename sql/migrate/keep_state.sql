-- Writes that the files with hash $1 were applied, for the group roles that exist now. Locks that row.
INSERT INTO wa.schema_state (hash)
SELECT sha256($1::bytea || convert_to((
    SELECT coalesce(string_agg(rolname || ' ' || oid, ',' ORDER BY rolname), '') FROM pg_roles WHERE rolname IN ('wa_app', 'wa_worker', 'wa_admin', 'wa_readonly', 'wa_web', 'wa_web_viewer', 'wa_web_operator', 'wa_web_admin')
), 'UTF8'))
ON CONFLICT (one) DO UPDATE SET hash = EXCLUDED.hash, applied_at = now()

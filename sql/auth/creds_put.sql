-- Writes credentials; fields of other programs (left by an import) stay. Share-locks the lease; locks the row of the
-- credentials.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    INSERT INTO wa.auth AS a (session_id, creds, home)
    SELECT held.session_id, $3, (SELECT k.home FROM wa.auth_home k) FROM held
    ON CONFLICT (session_id) DO UPDATE
    SET creds = CASE jsonb_typeof(a.creds) WHEN 'object' THEN a.creds || EXCLUDED.creds ELSE EXCLUDED.creds END,
        updated_at = EXCLUDED.updated_at, imported_at = NULL
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

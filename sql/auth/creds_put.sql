-- Writes credentials; fields that are not ours (left by an import) stay. Share-locks the lease row; locks the session's row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth AS a (session_id, creds) SELECT lease.session_id, $3 FROM lease
    ON CONFLICT (session_id) DO UPDATE
    SET creds = CASE jsonb_typeof(a.creds) WHEN 'object' THEN a.creds || EXCLUDED.creds ELSE EXCLUDED.creds END,
        updated_at = EXCLUDED.updated_at, imported_at = NULL
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Deletes up to $1 keys whose time to live has passed, and as many values from the quarantine. Locks those rows; skips what is
-- being written.
WITH gone AS (
    DELETE FROM wa.auth_key k
    USING (
        SELECT session_id, kind, key_id FROM wa.auth_key
        WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS expired
    WHERE k.session_id = expired.session_id AND k.kind = expired.kind AND k.key_id = expired.key_id
    RETURNING 1
), released AS (
    DELETE FROM wa.auth_quarantine q
    USING (
        SELECT id FROM wa.auth_quarantine WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS expired
    WHERE q.id = expired.id
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS "keys!", (SELECT count(*) FROM released) AS "quarantine!"

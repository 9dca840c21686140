-- Marks pre-keys as uploaded. Never inserts: a key consumed meanwhile stays consumed. Share-locks the lease; locks the
-- rows in the order of their ids.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    UPDATE wa.auth_key k SET value = k.value || '{"uploaded": true}', updated_at = clock_timestamp()
    FROM (
        SELECT o.session_id, o.kind, o.key_id FROM wa.auth_key o, held
        WHERE o.session_id = held.session_id AND o.kind = 'pre-key' AND o.key_id = ANY($3)
          AND jsonb_typeof(o.value) = 'object'
        ORDER BY o.key_id FOR UPDATE OF o
    ) marked
    WHERE (k.session_id, k.kind, k.key_id) = (marked.session_id, marked.kind, marked.key_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

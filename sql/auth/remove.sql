-- Deletes keys of one kind by id. Share-locks the lease; locks the rows in the order of their ids.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    DELETE FROM wa.auth_key k USING (
        SELECT o.session_id, o.kind, o.key_id FROM wa.auth_key o, held
        WHERE o.session_id = held.session_id AND o.kind = $3 AND o.key_id = ANY($4)
        ORDER BY o.key_id FOR UPDATE OF o
    ) doomed
    WHERE (k.session_id, k.kind, k.key_id) = (doomed.session_id, doomed.kind, doomed.key_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- The last $5 messages that are failed now, of those that failed since $6. $1: session; $2: class; $3: campaign; null is all. $4: whether
-- the reader sees all tenants. Of the parts of latest one reads rows, along an index by time: of a session; of all sessions; each with a class or
-- without; of a campaign; of the reader's sessions. The last two read the sessions that failed last: none of the others has a
-- message among the last. In a campaign a class is looked for among the last $5 messages of each of these sessions only.
WITH sessions AS MATERIALIZED (
    -- When each failed last: one look-up in an index for each.
    SELECT s.session_id, CASE WHEN $2::text IS NULL
        THEN (SELECT o.failed_at FROM wa.outbound_failed o WHERE o.session_id = s.session_id
              ORDER BY o.failed_at DESC LIMIT 1)
        ELSE (SELECT o.failed_at FROM wa.outbound_failed o WHERE o.session_id = s.session_id AND o.failure = $2
              ORDER BY o.failed_at DESC LIMIT 1) END AS last_at
    FROM wa.session s WHERE $1::text IS NULL AND $3::text IS NULL AND NOT $4::boolean
    UNION ALL
    SELECT c.session_id,
           (SELECT o.failed_at FROM wa.outbound_failed o WHERE o.session_id = c.session_id AND o.campaign = $3
            ORDER BY o.failed_at DESC LIMIT 1)
    FROM wa.campaign c JOIN wa.session s USING (session_id) WHERE c.campaign = $3 AND ($1 IS NULL OR s.name = $1)
), recent AS MATERIALIZED (
    SELECT s.session_id, s.last_at FROM sessions s WHERE s.last_at >= $6::timestamptz ORDER BY s.last_at DESC LIMIT $5
), since AS MATERIALIZED (
    -- So many messages failed since then, or they all did.
    SELECT CASE WHEN count(*) = $5 AND ($2 IS NULL OR $3 IS NULL) THEN min(last_at) ELSE $6 END AS at FROM recent
), latest AS MATERIALIZED (
    (SELECT o.id, o.failed_at FROM wa.outbound_failed o
     WHERE $1 IS NOT NULL AND $2 IS NULL AND $3 IS NULL AND o.session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1)
       AND o.failed_at >= $6
     ORDER BY o.failed_at DESC LIMIT $5)
    UNION ALL
    (SELECT o.id, o.failed_at FROM wa.outbound_failed o
     WHERE $1 IS NOT NULL AND $2 IS NOT NULL AND $3 IS NULL AND o.session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1)
       AND o.failure = $2 AND o.failed_at >= $6
     ORDER BY o.failed_at DESC LIMIT $5)
    UNION ALL
    (SELECT o.id, o.failed_at FROM wa.outbound_failed o
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND $4 AND o.failed_at >= $6 ORDER BY o.failed_at DESC LIMIT $5)
    UNION ALL
    (SELECT o.id, o.failed_at FROM wa.outbound_failed o
     WHERE $1 IS NULL AND $2 IS NOT NULL AND $3 IS NULL AND $4 AND o.failure = $2 AND o.failed_at >= $6
     ORDER BY o.failed_at DESC LIMIT $5)
    UNION ALL
    (SELECT o.id, o.failed_at FROM recent r CROSS JOIN LATERAL (
        (SELECT o.id, o.failed_at FROM wa.outbound_failed o
         WHERE $2 IS NULL AND $3 IS NULL AND o.session_id = r.session_id AND o.failed_at >= (SELECT at FROM since)
         ORDER BY o.failed_at DESC LIMIT $5)
        UNION ALL
        (SELECT o.id, o.failed_at FROM wa.outbound_failed o
         WHERE $2 IS NOT NULL AND $3 IS NULL AND o.session_id = r.session_id AND o.failure = $2 AND o.failed_at >= (SELECT at FROM since)
         ORDER BY o.failed_at DESC LIMIT $5)
        UNION ALL
        (SELECT c.id, c.failed_at FROM (
            SELECT o.id, o.failed_at, o.failure FROM wa.outbound_failed o
            WHERE $3 IS NOT NULL AND o.session_id = r.session_id AND o.campaign = $3 AND o.failed_at >= (SELECT at FROM since)
            ORDER BY o.failed_at DESC LIMIT $5) c
         WHERE $2 IS NULL OR c.failure = $2)) o)
), few AS MATERIALIZED (
    SELECT id FROM latest ORDER BY failed_at DESC LIMIT $5
)
SELECT o.id AS "id!", o.session AS "session!", o.recipient AS "recipient!", o.kind AS "kind!", o.campaign, o.attempts AS "attempts!",
       coalesce(o.failure, '') AS "failure!", coalesce(o.last_error, '') AS "last_error!", o.failed_at,
       -- Attempts are counted from 1 again after wa.retry.
       EXISTS (SELECT FROM jsonb_array_elements(o.errors) WITH ORDINALITY e (one, place) WHERE e.place > 1 AND e.one ->> 'attempt' = '1') AS "again!"
FROM few JOIN wa.outbound o USING (id)
ORDER BY o.failed_at DESC, o.id DESC

-- The last $5 messages that are failed now. $1: session; $2: class; $3: campaign; null is all. $4: whether the reader sees all
-- tenants. Of these four parts one reads rows, each along an index by time: of a session; of a campaign, in the sessions that
-- failed last; of all sessions; of the reader's sessions that failed last. A class is looked for among the last $6 messages
-- (of each session) only.
WITH most AS (
    SELECT CASE WHEN $2::text IS NULL THEN $5::bigint ELSE $6::bigint END AS rows
), latest AS MATERIALIZED (
    (SELECT o.* FROM wa.session s CROSS JOIN LATERAL (
        SELECT o.id, o.failed_at, o.failure FROM wa.outbound o WHERE o.session_id = s.session_id AND o.failed_at IS NOT NULL
        ORDER BY o.failed_at DESC LIMIT (SELECT rows FROM most)) o
     WHERE $1::text IS NOT NULL AND $3::text IS NULL AND s.name = $1)
    UNION ALL
    (SELECT o.* FROM (
        SELECT s.session_id FROM wa.session s CROSS JOIN LATERAL (
            SELECT o.failed_at FROM wa.outbound o WHERE o.session_id = s.session_id AND o.campaign = $3 AND o.failed_at IS NOT NULL
            ORDER BY o.failed_at DESC LIMIT 1) o
        WHERE $3 IS NOT NULL AND ($1 IS NULL OR s.name = $1) ORDER BY o.failed_at DESC LIMIT $5) s
     CROSS JOIN LATERAL (
        SELECT o.id, o.failed_at, o.failure FROM wa.outbound o
        WHERE o.session_id = s.session_id AND o.campaign = $3 AND o.failed_at IS NOT NULL ORDER BY o.failed_at DESC LIMIT $5) o)
    UNION ALL
    (SELECT o.id, o.failed_at, o.failure FROM wa.outbound o
     WHERE $1 IS NULL AND $3 IS NULL AND $4::boolean AND o.failed_at IS NOT NULL
     ORDER BY o.failed_at DESC LIMIT (SELECT rows FROM most))
    UNION ALL
    (SELECT o.* FROM (
        SELECT s.session_id FROM wa.session s CROSS JOIN LATERAL (
            SELECT o.failed_at FROM wa.outbound o WHERE o.session_id = s.session_id AND o.failed_at IS NOT NULL
            ORDER BY o.failed_at DESC LIMIT 1) o
        WHERE $1 IS NULL AND $3 IS NULL AND NOT $4 ORDER BY o.failed_at DESC LIMIT $5) s
     CROSS JOIN LATERAL (
        SELECT o.id, o.failed_at, o.failure FROM wa.outbound o WHERE o.session_id = s.session_id AND o.failed_at IS NOT NULL
        ORDER BY o.failed_at DESC LIMIT $5) o)
), few AS MATERIALIZED (
    SELECT id FROM latest WHERE $2 IS NULL OR failure::text = $2 ORDER BY failed_at DESC LIMIT $5
)
SELECT o.id AS "id!", o.session AS "session!", o.recipient AS "recipient!", o.kind AS "kind!", o.campaign, o.attempts AS "attempts!",
       coalesce(o.failure::text, '') AS "failure!", coalesce(o.last_error, '') AS "last_error!", o.failed_at
FROM few JOIN wa.outbound o USING (id)
ORDER BY o.failed_at DESC, o.id DESC

-- How many messages are failed now, of those that failed since $5: so many a retry of the same would queue again. $1: session; $2: class;
-- $3: campaign; null is all. $4: whether the reader sees all tenants. Ends at $6. Each part reads one index by time, no rows behind
-- the last that is counted: of a session; of all sessions; of the reader's sessions; each with a class or without; of a campaign.
SELECT count(*) AS "failed!" FROM (
    SELECT FROM (
        (SELECT FROM wa.outbound_failed o
         WHERE $1::text IS NOT NULL AND $2::text IS NULL AND $3::text IS NULL
           AND o.session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1) AND o.failed_at >= $5::timestamptz
         ORDER BY o.failed_at DESC LIMIT $6::bigint)
        UNION ALL
        (SELECT FROM wa.outbound_failed o
         WHERE $1 IS NOT NULL AND $2 IS NOT NULL AND $3 IS NULL
           AND o.session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1) AND o.failure = $2 AND o.failed_at >= $5
         ORDER BY o.failed_at DESC LIMIT $6)
        UNION ALL
        (SELECT FROM wa.outbound_failed o
         WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND $4::boolean AND o.failed_at >= $5 ORDER BY o.failed_at DESC LIMIT $6)
        UNION ALL
        (SELECT FROM wa.outbound_failed o
         WHERE $1 IS NULL AND $2 IS NOT NULL AND $3 IS NULL AND $4 AND o.failure = $2 AND o.failed_at >= $5
         ORDER BY o.failed_at DESC LIMIT $6)
        UNION ALL
        (SELECT FROM wa.session s CROSS JOIN LATERAL (
            SELECT FROM wa.outbound_failed o WHERE $2 IS NULL AND o.session_id = s.session_id AND o.failed_at >= $5
            ORDER BY o.failed_at DESC LIMIT $6) few
         WHERE $1 IS NULL AND $3 IS NULL AND NOT $4 LIMIT $6)
        UNION ALL
        (SELECT FROM wa.session s CROSS JOIN LATERAL (
            SELECT FROM wa.outbound_failed o WHERE o.session_id = s.session_id AND o.failure = $2 AND o.failed_at >= $5
            ORDER BY o.failed_at DESC LIMIT $6) few
         WHERE $1 IS NULL AND $2 IS NOT NULL AND $3 IS NULL AND NOT $4 LIMIT $6)
        UNION ALL
        (SELECT FROM wa.campaign c JOIN wa.session s USING (session_id) CROSS JOIN LATERAL (
            SELECT FROM wa.outbound_failed o
            WHERE o.session_id = c.session_id AND o.campaign = $3 AND o.failed_at >= $5 AND ($2 IS NULL OR o.failure = $2)
            ORDER BY o.failed_at DESC LIMIT $6) few
         WHERE $3 IS NOT NULL AND c.campaign = $3 AND ($1 IS NULL OR s.name = $1) LIMIT $6)
    ) found LIMIT $6
) counted

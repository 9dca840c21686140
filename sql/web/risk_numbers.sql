-- Sessions of whose messages of the last hours some failed, or were sent and not delivered within an hour: the largest share
-- first, $1 at most. Fewer than three messages say nothing. As wa.session_numbers('2 hours'), which adds up more.
WITH added AS (
    SELECT n.session_id, sum(n.sent) AS sent, sum(n.failed) AS failed, sum(n.sent) FILTER (WHERE n.at <= now() - interval '2 hours') AS old_sent,
           sum(n.sent - n.delivered_soon) FILTER (WHERE n.at <= now() - interval '2 hours') AS undelivered
    FROM wa.numbers n
    WHERE n.span = 'hour' AND n.campaign IS NULL AND n.session_id IS NOT NULL AND n.at >= date_trunc('hour', now() - interval '2 hours', 'UTC')
    GROUP BY n.session_id
), most AS MATERIALIZED (
    SELECT a.session_id, a.sent, a.failed, coalesce(a.undelivered, 0) AS undelivered, a.failed::float8 / nullif(a.failed + a.sent, 0) AS failed_share,
           a.undelivered::float8 / nullif(a.old_sent, 0) AS undelivered_share
    FROM added a
    WHERE a.failed >= 3 OR a.undelivered >= 3
    ORDER BY greatest(a.failed::float8 / nullif(a.failed + a.sent, 0), a.undelivered::float8 / nullif(a.old_sent, 0)) DESC, a.session_id LIMIT $1
)
SELECT s.name AS "session!", s.tenant AS "tenant!", m.sent AS "sent!", m.failed AS "failed!", m.undelivered AS "undelivered!",
       m.failed_share, m.undelivered_share, s.paused_at, p.per_minute AS "per_minute?", p.jitter::text AS "jitter?", p.first_contacts AS "first_contacts?"
FROM most m
JOIN wa.session s USING (session_id)
LEFT JOIN wa.pacing p USING (session_id)
ORDER BY greatest(m.failed_share, m.undelivered_share) DESC, s.name

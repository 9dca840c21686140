-- Sessions of whose messages of the last hours some failed, or were sent and not delivered within an hour: the largest share
-- first, $1 at most. Fewer than three messages say nothing.
SELECT n.session AS "session!", n.tenant_name AS "tenant!", n.sent AS "sent!", n.failed AS "failed!", n.undelivered AS "undelivered!",
       n.failed_share, n.undelivered_share, s.paused_at, p.per_minute AS "per_minute?", p.jitter::text AS "jitter?", p.first_contacts AS "first_contacts?"
FROM (
    SELECT * FROM wa.session_numbers('2 hours') m
    WHERE m.failed >= 3 OR m.undelivered >= 3
    ORDER BY greatest(m.failed_share, m.undelivered_share) DESC, m.session LIMIT $1
) n
JOIN wa.session s ON s.name = n.session
LEFT JOIN wa.pacing p USING (session_id)
ORDER BY greatest(n.failed_share, n.undelivered_share) DESC, n.session

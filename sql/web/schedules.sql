-- Schedules with their last ticks and what became of their last job. $1: after this id; $2: most rows.
SELECT s.schedule_id, s.name, s.tenant, s.session, s.kind, s.cron, s.time_zone, s.enabled, s.next_tick, s.last_job, s.error,
       job.status AS job_status, job.error AS job_error, last.ticks AS "ticks!", last.outcomes AS "outcomes!"
FROM wa.schedule s
LEFT JOIN LATERAL (
    SELECT j.status::text AS status, CASE j.status WHEN 'done' THEN NULL ELSE j.last_error END AS error
    FROM wa.maintenance_job j WHERE s.job_table = 'maintenance_job' AND j.id = s.last_job
    UNION ALL
    SELECT j.status::text, CASE j.status WHEN 'done' THEN NULL ELSE j.last_error END
    FROM wa.session_job j WHERE s.job_table = 'session_job' AND j.id = s.last_job
    UNION ALL
    SELECT o.status::text, CASE WHEN o.sent_at IS NULL THEN o.last_error END
    FROM wa.outbound o WHERE s.job_table = 'outbound' AND o.id = s.last_job AND o.session_id = s.session_id
) job ON true
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(t.tick ORDER BY t.tick DESC), '{}') AS ticks,
           coalesce(array_agg(t.outcome::text ORDER BY t.tick DESC), '{}') AS outcomes
    FROM (SELECT t.tick, t.outcome FROM wa.schedule_tick t WHERE t.schedule_id = s.schedule_id ORDER BY t.tick DESC LIMIT 5) t
) last
WHERE $1::bigint IS NULL OR s.schedule_id > $1
ORDER BY s.schedule_id
LIMIT $2

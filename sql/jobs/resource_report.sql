-- Counts sessions, messages, jobs and workers. Reads the sessions, the workers and the backlog; locks nothing.
SELECT jsonb_build_object(
    'sessions', (SELECT jsonb_object_agg(e.status, coalesce(s.count, 0))
                 FROM unnest(enum_range(NULL::wa.session_status)) AS e (status)
                 LEFT JOIN (SELECT status, count(*) FROM wa.session GROUP BY status) AS s USING (status)),
    -- That should be connected and are not, also those whose worker does not live.
    'down', (SELECT count(*) FROM wa.session s WHERE s.desired = 'connected' AND (s.status <> 'connected' OR NOT EXISTS (
        SELECT FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder WHERE l.session_id = s.session_id AND w.lease_until > now()))),
    'resting', (SELECT count(*) FROM wa.session WHERE rest_until > now()),
    'workers', (SELECT count(*) FROM wa.worker WHERE lease_until > now()),
    'messages', (SELECT jsonb_strip_nulls(jsonb_build_object('queued', nullif(q.live - s.sending, 0), 'sending', nullif(s.sending, 0)))
                 FROM (SELECT count(*) AS live FROM wa.outbound_queue) q, (
                     SELECT count(*) AS sending FROM wa.sending b CROSS JOIN unnest(b.taken) t (id) JOIN wa.outbound o USING (id) WHERE o.status = 'sending') s),
    'oldest_message_seconds', (SELECT extract(epoch FROM now() - o.created_at)::int8 FROM wa.outbound o
                               WHERE o.id = (SELECT min(q.id) FROM wa.outbound_queue q WHERE q.waits_for IS NULL OR q.waits_for NOT IN ('scheduled', 'paused'))),
    -- In three parts, each with an index of its own.
    'session_jobs', (SELECT count(*) FROM wa.session_job WHERE status IN ('queued', 'running') AND NOT action)
        + (SELECT count(*) FROM wa.session_job WHERE status = 'queued' AND action)
        + (SELECT count(*) FROM wa.session_job WHERE status = 'running' AND action),
    'maintenance_jobs', (SELECT count(*) FROM wa.maintenance_job WHERE status IN ('queued', 'running')),
    'database_bytes', pg_database_size(current_database())
) AS "report!"

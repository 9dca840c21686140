-- Counts sessions, messages, jobs and workers. Reads the sessions, the workers and the backlog; locks nothing.
SELECT jsonb_build_object(
    'sessions', (SELECT coalesce(jsonb_object_agg(s.status, s.count), '{}')
                 FROM (SELECT status, count(*) FROM wa.session GROUP BY status) AS s),
    'resting', (SELECT count(*) FROM wa.session WHERE rest_until > now()),
    'workers', (SELECT count(*) FROM wa.worker WHERE lease_until > now()),
    'messages', (SELECT coalesce(jsonb_object_agg(o.status, o.count), '{}')
                 FROM (SELECT status, count(*) FROM wa.outbound WHERE live GROUP BY status) AS o),
    'oldest_message_seconds', (SELECT extract(epoch FROM now() - min(created_at))::int8 FROM wa.outbound WHERE live AND send_at IS NULL),
    -- In three parts, each with an index of its own.
    'session_jobs', (SELECT count(*) FROM wa.session_job WHERE status IN ('queued', 'running') AND NOT action)
        + (SELECT count(*) FROM wa.session_job WHERE status = 'queued' AND action)
        + (SELECT count(*) FROM wa.session_job WHERE status = 'running' AND action),
    'maintenance_jobs', (SELECT count(*) FROM wa.maintenance_job WHERE status IN ('queued', 'running')),
    'database_bytes', pg_database_size(current_database())
) AS "report!"

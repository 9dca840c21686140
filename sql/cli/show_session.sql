-- Session $1 without its secrets: its row, why it does not send, its holder, its backlog, and its last jobs. Locks nothing.
SELECT jsonb_strip_nulls(to_jsonb(s) - 'session_id') || jsonb_build_object(
    'why', wa.why(s.name),
    'worker', (SELECT jsonb_build_object('worker_id', w.worker_id, 'host', w.host, 'pid', w.pid, 'since', l.taken_at)
               FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder WHERE l.session_id = s.session_id),
    'queue', (SELECT to_jsonb(q) - 'session' - 'tenant' FROM wa.queue q WHERE q.session = s.name),
    'jobs', (SELECT coalesce(jsonb_agg(j), '[]') FROM (
                SELECT j.id, j.kind, j.status, j.reason, j.run_at, j.last_error FROM wa.session_job j
                WHERE j.session_id = s.session_id ORDER BY j.id DESC LIMIT 5) AS j)) AS "shown!"
FROM wa.session s WHERE s.session_id = wa.session_id($1)

-- The jobs of a session ($1: its id): those that wait or run, the last links, and the next
-- actions. Each part reads one index, however many jobs there have been.
WITH picked AS MATERIALIZED (
    (SELECT id FROM wa.session_job WHERE session_id = $1 AND status IN ('queued', 'running') AND NOT action ORDER BY session_id, id LIMIT 20)
    UNION
    (SELECT id FROM wa.session_job WHERE session_id = $1 AND status = 'running' AND action LIMIT 20)
    UNION
    (SELECT id FROM wa.session_job WHERE session_id = $1 AND status = 'queued' AND action
     ORDER BY session_id, (kind = 'download'), run_at, id LIMIT 20)
    UNION
    (SELECT id FROM wa.session_job WHERE session_id = $1 AND kind = 'link' ORDER BY session_id DESC, id DESC LIMIT 5)
)
SELECT j.id AS "id!", j.kind AS "kind!", j.reason, j.status::text AS "status!", j.run_at AS "run_at!", j.attempts AS "attempts!", j.last_error,
       j.created_at AS "created_at!"
FROM picked JOIN wa.session_job j USING (id) ORDER BY j.id DESC

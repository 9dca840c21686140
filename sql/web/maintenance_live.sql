-- Maintenance jobs that are queued or running. $1: most rows.
SELECT j.id, j.kind, j.status::text AS "status!", j.run_at, j.attempts, j.result, j.started_at
FROM wa.maintenance_job j
WHERE j.status IN ('queued', 'running')
ORDER BY j.id
LIMIT $1

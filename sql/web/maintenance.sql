-- The last maintenance jobs. $1: before this id; $2: kind; $3: status; $4: most rows; $5: among so many.
SELECT j.id, j.kind, j.schedule, j.status::text AS "status!", j.attempts, j.max_attempts, j.result, j.last_error,
       j.started_at, j.finished_at
FROM (SELECT * FROM wa.maintenance_job m WHERE $1::bigint IS NULL OR m.id < $1 ORDER BY m.id DESC LIMIT $5) j
WHERE ($2::text IS NULL OR j.kind = $2) AND ($3::text IS NULL OR j.status::text = $3)
ORDER BY j.id DESC
LIMIT $4

-- The last attempts for webhook $1, the latest first: what ended, and what is tried again. $2: most rows.
WITH done AS (
    SELECT * FROM wa.delivery d WHERE d.webhook_id = $1 AND d.status = 'done' ORDER BY d.id DESC LIMIT $2
), dead AS (
    SELECT * FROM wa.delivery d WHERE d.webhook_id = $1 AND d.status = 'dead' ORDER BY d.id DESC LIMIT $2
), retried AS (
    SELECT * FROM wa.delivery d WHERE d.webhook_id = $1 AND d.status = 'queued' AND d.attempts > 0 ORDER BY d.run_at, d.id LIMIT $2
)
SELECT d.id AS "id!", d.event_id AS "event_id!", d.type AS "type!", d.status AS "status!", d.attempts AS "attempts!", d.code, d.last_error, d.response,
       d.source AS "source!", d.source_id, d.happened_at AS "happened_at!", d.run_at AS "run_at!", d.attempted_at
FROM (SELECT * FROM done UNION ALL SELECT * FROM dead UNION ALL SELECT * FROM retried) d
ORDER BY coalesce(d.attempted_at, d.finished_at) DESC, d.id DESC
LIMIT $2

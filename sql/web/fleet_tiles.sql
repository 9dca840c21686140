-- How many sessions have each status, and how many are paused.
SELECT status::text AS "status!", count(*) AS "sessions!", count(*) FILTER (WHERE paused_at IS NOT NULL) AS "paused!"
FROM wa.session GROUP BY status

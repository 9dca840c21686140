-- Kinds of due jobs that this version does not know: of session jobs other than $1, of maintenance jobs other than $2.
-- Of the actions of a session only the next ones are read, for which the others wait. Locks nothing.
WITH RECURSIVE waiting (session_id) AS (
    -- The sessions with queued actions, as in next_actions.sql.
    SELECT min(j.session_id) FROM wa.session_job j WHERE j.action AND j.status = 'queued'
    UNION ALL
    SELECT (SELECT min(j.session_id) FROM wa.session_job j
            WHERE j.action AND j.status = 'queued' AND j.session_id > waiting.session_id)
    FROM waiting WHERE waiting.session_id IS NOT NULL
)
SELECT next.kind AS "kind!"
FROM waiting CROSS JOIN (VALUES (false), (true)) AS lane (download)
CROSS JOIN LATERAL (
    SELECT j.kind FROM wa.session_job j
    WHERE j.session_id = waiting.session_id AND (j.kind = 'download') = lane.download
      AND j.action AND j.status = 'queued' AND j.run_at <= now()
    ORDER BY j.run_at, j.id
    LIMIT 1
) next
WHERE next.kind <> ALL ($1::text[])
UNION
SELECT j.kind
FROM wa.session_job j WHERE j.status = 'queued' AND NOT j.action AND j.run_at <= now() AND j.kind <> ALL ($1::text[])
UNION
SELECT j.kind
FROM wa.maintenance_job j WHERE j.status = 'queued' AND j.run_at <= now() AND j.kind <> ALL ($2::text[])
ORDER BY 1

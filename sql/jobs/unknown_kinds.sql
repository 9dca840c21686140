-- Kinds of due jobs that this version does not know: of session jobs other than $1, of maintenance jobs other than $2. Reads
-- queued rows only; locks nothing.
SELECT DISTINCT j.kind AS "kind!"
FROM wa.session_job j WHERE j.status = 'queued' AND j.run_at <= now() AND j.kind <> ALL ($1::text[])
UNION
SELECT DISTINCT j.kind
FROM wa.maintenance_job j WHERE j.status = 'queued' AND j.run_at <= now() AND j.kind <> ALL ($2::text[])
ORDER BY 1

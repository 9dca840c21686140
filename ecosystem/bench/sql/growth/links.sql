-- Links number $1 to $2 that are done, of the sessions in turn.
INSERT INTO wa.session_job (session, session_id, kind, status, phone, run_at, created_at, started_at, finished_at)
SELECT s.name, s.session_id, 'link', 'done', '15550001', at, at, at, at
FROM (SELECT n % (SELECT count(*) FROM wa.session) AS place FROM generate_series($1::bigint, $2) n) link
JOIN (SELECT session_id, name, row_number() OVER (ORDER BY session_id) - 1 AS place FROM wa.session) s USING (place)
CROSS JOIN (SELECT now() - interval '1 day' AS at) moment

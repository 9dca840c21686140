-- Only the first $1 sessions should be connected.
UPDATE wa.session s SET desired = CASE WHEN n.number <= $1 THEN 'connected' ELSE 'stopped' END::wa.session_wish
FROM (SELECT session_id, row_number() OVER (ORDER BY session_id) AS number FROM wa.session) AS n
WHERE s.session_id = n.session_id

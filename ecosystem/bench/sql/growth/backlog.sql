-- $2 messages for each of the sessions whose number is at most $1.
INSERT INTO wa.outbound (session, recipient, body)
SELECT s.name, (15550000000 + n)::text, 'Hello' FROM wa.session s CROSS JOIN generate_series(1, $2::bigint) n
WHERE substr(s.name, 7)::bigint <= $1

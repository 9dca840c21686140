-- What happened within $1 in the sessions in which something did, behind the name $2, with $5 in their names, or in the session
-- $4 alone; $3 at most. Reads sums, no messages: one look-up in an index for each session that is passed.
SELECT s.name AS "name!", s.tenant AS "tenant!", coalesce(n.begun, 0) AS "begun!", coalesce(n.sent, 0) AS "sent!",
       coalesce(n.delivered, 0) AS "delivered!", coalesce(n.read, 0) AS "read!", coalesce(n.failed, 0) AS "failed!", coalesce(n.received, 0) AS "received!"
FROM (SELECT session_id, name, tenant FROM wa.session s
      WHERE ($2::text IS NULL OR name > $2) AND ($4::text IS NULL OR name = $4)
        AND ($5::text IS NULL OR position(lower($5) IN lower(name)) > 0)
        AND EXISTS (SELECT FROM wa.numbers n
                    WHERE n.session_id = s.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'hour'
                      AND n.at >= now() - $1::text::interval)
      ORDER BY name LIMIT $3) s
CROSS JOIN LATERAL (
    SELECT sum(n.queued) AS begun, sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read, sum(n.failed) AS failed,
           sum(n.received) AS received
    FROM wa.numbers n
    WHERE n.session_id = s.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'hour' AND n.at >= now() - $1::text::interval
) n
ORDER BY s.name

-- What happened within $1 in the sessions behind the name $2, or in the session $4 alone; $3 at most. Reads sums, no messages.
SELECT s.name AS "name!", s.tenant AS "tenant!", coalesce(n.begun, 0) AS "begun!", coalesce(n.sent, 0) AS "sent!",
       coalesce(n.delivered, 0) AS "delivered!", coalesce(n.read, 0) AS "read!", coalesce(n.failed, 0) AS "failed!", coalesce(n.received, 0) AS "received!"
FROM (SELECT session_id, name, tenant FROM wa.session
      WHERE ($2::text IS NULL OR name > $2) AND ($4::text IS NULL OR name = $4) ORDER BY name LIMIT $3) s
CROSS JOIN LATERAL (
    SELECT sum(n.queued) AS begun, sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read, sum(n.failed) AS failed,
           sum(n.received) AS received
    FROM wa.numbers n
    WHERE n.session_id = s.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'hour' AND n.at >= now() - $1::text::interval
) n
ORDER BY s.name

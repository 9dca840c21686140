-- What happened within $1 in the sessions in which something did, those that sent most first: with $5 in their names, or the session
-- $4 alone; behind the session that sent $2 and has the name $6; $3 at most. Sums of the whole time are made for these alone. The
-- order is by what was sent in the last hours of the time, so many that about 20,000 rows are read (hours): for 27
-- sessions that is a month, for 10,000 three hours. Reads sums, no messages.
WITH own AS MATERIALIZED (
    SELECT s.session_id, s.name, s.tenant FROM wa.session s
    WHERE ($4::text IS NULL OR s.name = $4) AND ($5::text IS NULL OR position(lower($5) IN lower(s.name)) > 0)
), size AS MATERIALIZED (
    -- hours: null where they are the whole time.
    SELECT sessions, CASE WHEN whole < latest THEN hours END AS hours, greatest(whole, latest) AS since
    FROM (
        SELECT c.sessions, c.hours, date_trunc('hour', now() - $1::text::interval + interval '59 minutes 59.999999 seconds', 'UTC') AS whole,
               date_trunc('hour', now(), 'UTC') - interval '1 hour' * c.hours AS latest
        FROM (SELECT count(*) AS sessions, least(20000 / greatest(count(*), 1), 10000) AS hours FROM own) c
    ) d
), sent AS MATERIALIZED (
    -- Of many sessions hour by hour, in which they lie side by side; of few one by one.
    SELECT n.session_id, sum(n.sent) AS sent
    FROM size
    CROSS JOIN LATERAL generate_series(size.since, now(), interval '1 hour') hour (at)
    CROSS JOIN LATERAL (
        SELECT n.session_id, n.sent FROM wa.numbers n
        WHERE n.span = 'hour' AND n.campaign IS NULL AND n.session_id IS NOT NULL AND n.at = hour.at OFFSET 0) n
    WHERE size.sessions > 1000
    GROUP BY n.session_id
    UNION ALL
    SELECT o.session_id, n.sent
    FROM size CROSS JOIN own o
    CROSS JOIN LATERAL (
        SELECT sum(n.sent) AS sent FROM wa.numbers n
        WHERE n.session_id = o.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'hour' AND n.at >= size.since) n
    WHERE size.sessions <= 1000
), ranked AS MATERIALIZED (
    SELECT o.session_id, o.name, o.tenant, coalesce(s.sent, 0) AS sent
    FROM own o LEFT JOIN sent s USING (session_id)
    WHERE $2::bigint IS NULL OR coalesce(s.sent, 0) < $2 OR coalesce(s.sent, 0) = $2 AND o.name > $6::text
    ORDER BY coalesce(s.sent, 0) DESC, o.name
), page AS (
    SELECT r.* FROM ranked r
    -- No join, so that it ends with the last row that is wanted.
    WHERE (SELECT true FROM wa.numbers n
           WHERE n.session_id = r.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'hour'
             AND n.at >= now() - $1::text::interval LIMIT 1)
    LIMIT $3
)
SELECT p.name AS "name!", p.tenant AS "tenant!", p.sent AS "rank!", size.hours::integer AS hours, coalesce(n.begun, 0) AS "begun!",
       coalesce(n.sent, 0) AS "sent!", coalesce(n.delivered, 0) AS "delivered!", coalesce(n.read, 0) AS "read!",
       coalesce(n.failed, 0) AS "failed!", coalesce(n.received, 0) AS "received!"
FROM page p
CROSS JOIN size
CROSS JOIN LATERAL (
    SELECT sum(n.queued) AS begun, sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read, sum(n.failed) AS failed,
           sum(n.received) AS received
    FROM wa.numbers n
    WHERE n.session_id = p.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'hour' AND n.at >= now() - $1::text::interval
) n
ORDER BY p.sent DESC, p.name

-- How many of the messages from id $1 on are not delivered yet, and how many failed.
SELECT count(*) FILTER (WHERE delivered_at IS NULL) AS "open!", count(*) FILTER (WHERE failed_at IS NOT NULL) AS "failed!"
FROM wa.outbound WHERE id >= $1

-- What a session ($1: its name) sent in each minute of the last hour.
SELECT n.at AS "at!", n.sent AS "sent!", n.failed AS "failed!" FROM wa.numbers_since($1, '1 hour', '1 minute') n ORDER BY n.at

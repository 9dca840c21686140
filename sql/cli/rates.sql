-- How much each session sent. Locks nothing.
SELECT session AS "session!", sent_last_minute AS "last_minute!", sent_last_hour AS "last_hour!", median_seconds_to_sent AS median_seconds
FROM wa.rate ORDER BY session

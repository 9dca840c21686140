-- The id before the last $2 messages of session $1, or of all. Locks nothing.
SELECT coalesce(min(id) - 1, (SELECT coalesce(max(id), 0) FROM wa.inbox)) AS "after!"
FROM (SELECT id FROM wa.inbox WHERE $1::text IS NULL OR session = $1 ORDER BY id DESC LIMIT $2) AS latest

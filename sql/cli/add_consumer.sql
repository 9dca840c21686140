-- Adds consumer $1 of session $2, or of all, for kinds $3, or all; with what was received since $4, or since $5 seconds ago.
-- Locks what wa.add_consumer locks.
SELECT wa.add_consumer($1, $2, $3, coalesce($4, now() - $5::float8 * interval '1 second', 'infinity')) AS "unread!"

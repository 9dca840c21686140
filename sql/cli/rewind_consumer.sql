-- Makes unread for consumer $1 what was received since $2, or since $3 seconds ago; nothing without both. Locks what
-- wa.rewind_consumer locks.
SELECT wa.rewind_consumer($1, coalesce($2, now() - $3::float8 * interval '1 second', 'infinity')) AS "unread!"

-- Queues a test message with the text $2 to the number $1 for each company whose phone is linked for the first time. Locks
-- those companies; skips what is locked. Returns how many.
SELECT wa.test_companies($1, $2) AS "tested!"

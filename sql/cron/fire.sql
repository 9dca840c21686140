-- Fires the ticks $6 of schedule $1, unless it is not any more as it was seen ($2 cron, $3 time zone, $4 rule, $5 dealt
-- with up to), and moves it on: dealt with up to $7, next tick $8. How many fired; null when another worker was first.
-- Locks the schedule's row.
SELECT wa.fire_schedule($1, $2, $3, ($4::text)::wa.missed_rule, $5, $6, $7, $8) AS fired

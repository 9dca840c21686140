-- Fires the ticks $6 of schedule $1, unless it has changed since the worker read it (cron $2, time zone $3, rule $4,
-- ticked_to $5), and moves it forward: ticked_to $7, next tick $8. Returns how many ticks fired; null when another
-- worker was first. Locks the row of the schedule.
SELECT wa.fire_schedule($1, $2, $3, ($4::text)::wa.missed_rule, $5, $6, $7, $8) AS fired

-- How many ticks sql/retention/schedule_tick.sql would delete at $1 days. Locks nothing.
SELECT count(*) AS "count!" FROM wa.schedule_tick
WHERE tick < now() - $1::integer * interval '1 day' AND fired_at < now() - $1::integer * interval '1 day'

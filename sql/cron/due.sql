-- Up to 100 schedules that are due or not planned yet, and the time. The order is random, so that workers that wake at
-- the same tick begin with different ones. Locks nothing.
SELECT schedule_id, name, cron, time_zone, missed::text AS "missed!", ticked_to, wa.cron_now() AS "now!"
FROM wa.schedule
WHERE enabled AND (next_tick IS NULL OR next_tick <= wa.cron_now())
ORDER BY random() LIMIT 100

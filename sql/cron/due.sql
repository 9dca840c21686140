-- Up to 100 schedules that are due or not planned yet, and the time. In no fixed order, so that several workers that wake
-- at one tick begin at different ones. Locks nothing.
SELECT schedule_id, name, cron, time_zone, missed::text AS "missed!", ticked_to, wa.cron_now() AS "now!"
FROM wa.schedule
WHERE enabled AND (next_tick IS NULL OR next_tick <= wa.cron_now())
ORDER BY random() LIMIT 100

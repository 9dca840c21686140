-- All schedules by name. Locks nothing.
SELECT name, enabled, cron, time_zone, kind, session, last_tick, next_tick, error FROM wa.schedule ORDER BY name

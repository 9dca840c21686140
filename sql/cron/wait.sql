-- Seconds until the next tick of any schedule; null when there is none. Locks nothing.
SELECT extract(epoch FROM min(next_tick) - wa.cron_now())::float8 AS seconds FROM wa.schedule WHERE enabled

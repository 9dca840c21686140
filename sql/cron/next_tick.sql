-- Seconds until the next tick of any schedule; null without one. Locks nothing.
SELECT extract(epoch FROM min(next_tick) - wa.cron_now())::float8 AS seconds FROM wa.schedule WHERE enabled

-- Disables schedule $1 with reason $4, unless its cron $2 or time zone $3 has changed. Locks that row; skips it when
-- somebody else has locked it.
UPDATE wa.schedule s SET enabled = false, error = $4
FROM (SELECT schedule_id FROM wa.schedule WHERE schedule_id = $1 AND enabled AND cron = $2 AND time_zone = $3
      FOR NO KEY UPDATE SKIP LOCKED) free
WHERE s.schedule_id = free.schedule_id

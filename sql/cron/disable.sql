-- Disables schedule $1 with reason $4, unless its cron $2 or time zone $3 has changed. Locks that row.
UPDATE wa.schedule SET enabled = false, error = $4 WHERE schedule_id = $1 AND enabled AND cron = $2 AND time_zone = $3

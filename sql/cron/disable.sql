-- Disables schedule $1 with the reason $4, if it still is what was seen ($2 cron, $3 time zone). Locks that row.
UPDATE wa.schedule SET enabled = false, error = $4 WHERE schedule_id = $1 AND enabled AND cron = $2 AND time_zone = $3

-- Deletes up to $1 ticks that fired more than $2 days ago, oldest first. Locks those rows.
DELETE FROM wa.schedule_tick t
USING (
    SELECT schedule_id, tick FROM wa.schedule_tick
    WHERE tick < now() - $2::integer * interval '1 day' AND fired_at < now() - $2::integer * interval '1 day'
    ORDER BY tick LIMIT $1 FOR UPDATE SKIP LOCKED
) AS old
WHERE t.schedule_id = old.schedule_id AND t.tick = old.tick

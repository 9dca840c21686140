-- Writes that sessions $1 under epochs $2 answered their health check. Share-locks the leases; locks the rows of the
-- sessions. Skips sessions that somebody else has locked; the next check writes them.
WITH held AS (
    -- The leases that are still held under those epochs.
    SELECT l.session_id FROM wa.lease l JOIN unnest($1::int8[], $2::int8[]) AS mine (session_id, epoch)
        ON l.session_id = mine.session_id AND l.epoch = mine.epoch
    JOIN wa.session s ON s.session_id = l.session_id
    WHERE l.holder IS NOT NULL ORDER BY l.session_id FOR SHARE OF l SKIP LOCKED FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE wa.session s SET checked_at = now() FROM held WHERE s.session_id = held.session_id

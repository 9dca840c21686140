-- Deletes the leases and replays of webhooks that were dropped. Locks those rows; skips what is locked.
WITH lease AS (
    -- Leases.
    DELETE FROM wa.webhook_lease l WHERE l.webhook_id IN (
        SELECT g.webhook_id FROM wa.webhook_lease g WHERE NOT EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = g.webhook_id) FOR UPDATE OF g SKIP LOCKED)
)
DELETE FROM wa.webhook_replay r WHERE r.replay_id IN (
    SELECT g.replay_id FROM wa.webhook_replay g WHERE NOT EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = g.webhook_id) FOR UPDATE OF g SKIP LOCKED)

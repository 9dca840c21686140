-- Gives worker $1 its share of the webhooks that are enabled: takes free ones up to the share. Returns whether it now holds
-- any, disabled ones too, and those that it should release beyond the share. A webhook is free when nobody holds it, or its holder is no live worker.
-- Locks the leases that it takes; skips those that another worker is taking.
WITH enabled AS MATERIALIZED (
    -- The webhooks that are enabled.
    SELECT w.webhook_id FROM wa.webhook w WHERE NOT wa.is_disabled(w)
), share AS MATERIALIZED (
    -- As many as each live worker should hold.
    SELECT ceil(count(*)::numeric / greatest((SELECT count(*) FROM wa.worker w WHERE w.lease_until > now() AND NOT w.draining), 1))::bigint AS most
    FROM enabled
), mine AS MATERIALIZED (
    -- Those that this worker holds.
    SELECT l.webhook_id FROM wa.webhook_lease l JOIN enabled USING (webhook_id) WHERE l.worker_id = $1
), missing AS (
    -- The first lease of a webhook.
    INSERT INTO wa.webhook_lease (webhook_id, worker_id, epoch, taken_at)
    SELECT e.webhook_id, $1, 1, now() FROM enabled e
    WHERE NOT EXISTS (SELECT FROM wa.webhook_lease l WHERE l.webhook_id = e.webhook_id)
    ORDER BY e.webhook_id LIMIT greatest((SELECT most FROM share) - (SELECT count(*) FROM mine), 0)
    ON CONFLICT (webhook_id) DO NOTHING
    RETURNING webhook_id
), free AS MATERIALIZED (
    -- Those that are free.
    SELECT l.webhook_id FROM wa.webhook_lease l JOIN enabled USING (webhook_id)
    WHERE NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = l.worker_id AND w.lease_until > now())
    ORDER BY l.webhook_id
    LIMIT greatest((SELECT most FROM share) - (SELECT count(*) FROM mine) - (SELECT count(*) FROM missing), 0)
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    -- These are this worker's now.
    UPDATE wa.webhook_lease l SET worker_id = $1, epoch = l.epoch + 1, taken_at = now() FROM free WHERE l.webhook_id = free.webhook_id
    RETURNING l.webhook_id
)
SELECT EXISTS (SELECT FROM wa.webhook_lease l WHERE l.worker_id = $1)
           OR EXISTS (SELECT FROM missing) OR EXISTS (SELECT FROM taken) AS "holds!",
       ARRAY(SELECT m.webhook_id FROM mine m
             ORDER BY m.webhook_id DESC LIMIT greatest((SELECT count(*) FROM mine) - (SELECT most FROM share), 0)) AS "surplus!"

-- Which of the webhooks $1 have a new delivery with an id above $2, or one that is due again. Parallel arrays. Locks
-- nothing.
SELECT w.id AS "id!" FROM unnest($1::bigint[], $2::bigint[]) AS w (id, after)
WHERE EXISTS (SELECT FROM wa.delivery d WHERE d.webhook_id = w.id AND d.status = 'queued' AND d.attempts = 0 AND d.id > w.after)
   OR EXISTS (SELECT FROM wa.delivery d WHERE d.webhook_id = w.id AND d.status = 'queued' AND d.attempts > 0 AND d.run_at <= now())

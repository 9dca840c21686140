-- Encrypts the secrets $1 of webhooks again: writes $3 where they still are $2. Locks those rows; skips rows that are
-- being written.
WITH free AS MATERIALIZED (
    -- The rows that nobody else is writing.
    SELECT s.secret_id, item.old, item.new
    FROM wa.webhook_secret s JOIN unnest($1::text[], $2::jsonb[], $3::jsonb[]) AS item (secret_id, old, new) ON s.secret_id = item.secret_id::bigint
    FOR UPDATE OF s SKIP LOCKED
)
UPDATE wa.webhook_secret s SET value = free.new FROM free WHERE s.secret_id = free.secret_id AND s.value = free.old

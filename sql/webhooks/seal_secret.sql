-- Seals the secret $1: writes $3 where it still is $2. Skips a row that an application is writing.
WITH free AS MATERIALIZED (
    -- The row, if nobody else is writing it.
    SELECT s.secret_id FROM wa.webhook_secret s WHERE s.secret_id = $1 AND s.value = $2 FOR UPDATE OF s SKIP LOCKED
)
UPDATE wa.webhook_secret s SET value = $3 FROM free WHERE s.secret_id = free.secret_id

-- Seals the API key of call $1: writes $3 where it still is $2. Locks that row, which nobody but workers writes.
UPDATE wa.partner_key SET value = $3 WHERE call_id = $1 AND value = $2

-- Encrypts keys again: sessions $1, kinds $2, ids $3; writes $5 where the value still is $4. Their age stays. Locks
-- those rows; skips rows that are being written, because their writer uses the key in force anyway.
WITH free AS MATERIALIZED (
    -- The rows that nobody else is writing.
    SELECT k.session_id, k.kind, k.key_id, item.old, item.new
    FROM wa.auth_key k
    JOIN unnest($1::bigint[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[]) AS item (session_id, kind, key_id, old, new)
      ON k.session_id = item.session_id AND k.kind = item.kind AND k.key_id = item.key_id
    FOR UPDATE OF k SKIP LOCKED
)
UPDATE wa.auth_key k SET value = free.new
FROM free
WHERE k.session_id = free.session_id AND k.kind = free.kind AND k.key_id = free.key_id AND k.value = free.old

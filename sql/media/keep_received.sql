-- The file of message $3 of session $1 under epoch $2: hash $4, size $5, type $6, bytes $7 or path $8. Share-locks the lease; locks
-- the file and the message.
WITH held AS (
    SELECT l.session_id, s.tenant FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL FOR SHARE OF l
), kept AS (
    INSERT INTO wa.media AS m (tenant, sha256, size, mime, data, path)
    SELECT held.tenant, $4, $5, $6, $7, $8 FROM held
    -- Its age counts from when it was last wanted.
    ON CONFLICT (tenant, sha256) DO UPDATE SET created_at = now()
    RETURNING m.media_id, m.mime
)
UPDATE wa.inbox i SET media_id = kept.media_id FROM kept
WHERE i.session_id = $1 AND i.id = $3
RETURNING kept.media_id AS "media_id!", kept.mime

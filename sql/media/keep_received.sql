-- Keeps the file of a received message. Share-locks the lease; locks the file and the message.
WITH input (session_id, epoch, inbox_id, sha256, size, mime, data, path) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants.
    -- data: the bytes; null when the media store has them, under path.
    SELECT $1::bigint, $2::bigint, $3::bigint, $4::bytea, $5::bigint, $6::text, $7::bytea, $8::text
), held AS (
    -- The lease, if the session is still held under this epoch, and the tenant.
    SELECT l.session_id, s.tenant FROM wa.lease l JOIN input USING (session_id, epoch) JOIN wa.session s USING (session_id)
    WHERE l.holder IS NOT NULL FOR SHARE OF l
), kept AS (
    -- The file, new or already there. Its age starts again each time somebody wants it.
    INSERT INTO wa.media AS m (tenant, sha256, size, mime, data, path)
    SELECT held.tenant, input.sha256, input.size, input.mime, input.data, input.path FROM held JOIN input USING (session_id)
    ON CONFLICT (tenant, sha256) DO UPDATE SET created_at = now()
    RETURNING m.media_id, m.mime
)
UPDATE wa.inbox i SET media_id = kept.media_id FROM kept CROSS JOIN input
WHERE i.session_id = input.session_id AND i.id = input.inbox_id
RETURNING kept.media_id AS "media_id!", kept.mime

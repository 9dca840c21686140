-- Keeps an upload and sets it for the message that it was made for. Share-locks the lease; locks the upload and the
-- message.
WITH input (session_id, epoch, kind, outbound_id, sha256, message, url, etag, modified) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants.
    -- message: the content that names the upload. url, etag, modified: where the file was fetched from, if it was.
    SELECT $1::bigint, $2::bigint, $3::text, $4::bigint, $5::bytea, $6::jsonb, $7::text, $8::text, $9::text
), held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease JOIN input USING (session_id, epoch) WHERE holder IS NOT NULL FOR SHARE OF lease
), kept AS (
    -- The upload, new or repeated.
    INSERT INTO wa.upload (session_id, kind, sha256, message, url, etag, modified)
    SELECT session_id, input.kind, input.sha256, input.message, input.url, input.etag, input.modified
    FROM held JOIN input USING (session_id)
    ON CONFLICT (session_id, kind, sha256) DO UPDATE
    SET message = excluded.message, url = excluded.url, etag = excluded.etag, modified = excluded.modified, uploaded_at = now()
    RETURNING session_id, upload_id
)
UPDATE wa.outbound o SET upload_id = kept.upload_id
FROM kept JOIN input USING (session_id) WHERE o.session_id = kept.session_id AND o.id = input.outbound_id

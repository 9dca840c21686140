-- What session $1 under epoch $2 uploaded as kind $3 for its message $4: the message $6 that names it, its hash $5, and where it
-- was fetched from ($7, $8, $9). Share-locks the lease; locks the upload and the message.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), kept AS (
    INSERT INTO wa.upload (session_id, kind, sha256, message, url, etag, modified)
    SELECT session_id, $3, $5, $6, $7, $8, $9 FROM held
    ON CONFLICT (session_id, kind, sha256) DO UPDATE
    SET message = excluded.message, url = excluded.url, etag = excluded.etag, modified = excluded.modified, uploaded_at = now()
    RETURNING session_id, upload_id
)
UPDATE wa.outbound o SET upload_id = kept.upload_id FROM kept WHERE o.session_id = kept.session_id AND o.id = $4

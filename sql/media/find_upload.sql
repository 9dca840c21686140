-- What session $1 uploaded as kind $2 in the last day, with the hash $3 or from the URL $4. Locks nothing.
SELECT upload_id AS id, message, etag, modified, uploaded_at > now() - interval '1 minute' AS "fresh!"
FROM wa.upload
WHERE session_id = $1 AND kind = $2 AND (sha256 = $3 OR (md5(url) = md5($4) AND url = $4)) AND uploaded_at > now() - interval '1 day'
ORDER BY uploaded_at DESC LIMIT 1

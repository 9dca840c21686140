-- Files of messages that a page of a chat shows, of session $1. $2: ids of wa.inbox; $3: ids of wa.outbound. id is as in wa.history;
-- a received file without a media_id is not downloaded yet.
SELECT 'i' || i.id AS "id!", m.media_id AS "media_id?", m.mime AS "mime?"
FROM wa.inbox i LEFT JOIN wa.media m USING (media_id)
WHERE i.session_id = $1 AND i.id = ANY ($2) AND i.media IS NOT NULL
UNION ALL
SELECT 'o' || o.id, m.media_id, m.mime
FROM wa.outbound o JOIN wa.media m ON m.media_id = (o.content ->> 'media')::bigint
WHERE o.session_id = $1 AND o.id = ANY ($3) AND o.content ? 'media'

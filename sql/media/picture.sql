-- The bytes of media $2, if it belongs to the tenant of session $1; null when they are in the media store. Locks
-- nothing.
SELECT m.data FROM wa.media m JOIN wa.session s USING (tenant) WHERE s.session_id = $1 AND m.media_id = $2

-- Media $2, if it belongs to the tenant of session $1. Locks nothing.
SELECT m.sha256, m.size, m.mime, m.path FROM wa.media m JOIN wa.session s USING (tenant) WHERE s.session_id = $1 AND m.media_id = $2

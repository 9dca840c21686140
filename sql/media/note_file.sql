-- Notes the file that is about to be written for tenant $1 with the SHA-256 $2, so that retention deletes it unless a row of
-- wa.media names it by then. Returns its path: that of the row, if the file is kept already, else $3. Locks the note.
INSERT INTO wa.dropped_file (path)
SELECT coalesce((SELECT m.path FROM wa.media m WHERE m.tenant = $1 AND m.sha256 = $2), $3)
ON CONFLICT ON CONSTRAINT dropped_file_pkey DO UPDATE SET dropped_at = now()
RETURNING path

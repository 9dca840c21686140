-- $3 bytes of media $1, from byte $2, counted from 1. Locks nothing.
SELECT substring(data FROM $2 FOR $3) AS "part!" FROM wa.media WHERE media_id = $1 AND data IS NOT NULL

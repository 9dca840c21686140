-- $3 bytes of a file ($1) that the viewer sees, from byte $2, counted from 1.
SELECT substring(data FROM $2 FOR $3) AS "part!" FROM wa.media WHERE media_id = $1 AND data IS NOT NULL

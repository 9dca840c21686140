-- A file ($1) that the viewer sees: its media type, its size, and its path in the media store if Postgres does not hold it.
SELECT mime, size AS "size!", path FROM wa.media WHERE media_id = $1

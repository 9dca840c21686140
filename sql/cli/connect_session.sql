-- Asks for session $1 to be connected.
SELECT wa.connect($1) AS "job!"

-- Adds session $1.
SELECT wa.add_session($1) AS "session_id!"

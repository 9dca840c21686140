-- What `wagres session add` calls.
SELECT wa.add_session($1) AS "session_id!"

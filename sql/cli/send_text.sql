-- What `wagres send` calls.
SELECT wa.send_text($1, $2, $3) AS "id!"

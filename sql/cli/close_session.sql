-- What `wagres session close` calls.
SELECT wa.close($1, $2) AS "job!"
